"""What may happen, as rules that Hypothesis puts in any order; where one fails, it looks for the shortest that does.

Rules of this module
  1. Every rule may come at any time. One that has nothing to do then does nothing, so that steps can be left out.
  2. Before a rule every host sends; after it some time passes, at least half of a message's way, so that what is done
     meets what is in flight; then everything is judged.
  3. At its end every world has to come to rest.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.simulation.model_coverage import Coverage
from tests.simulation.model_fleet import Fleet, Site
from tests.simulation.model_judge import calm, judge, rest
from tests.simulation.model_keys import SMALL_RECORD_LIMIT, KeyWitness
from tests.simulation.model_path import TAMPERINGS
from tests.simulation.model_setting import ADDRESSES, AGES, DAMAGES, KEYS, MAX_SITES, MEMBERS, PREFIXES, WEATHERS
from tests.simulation.world import World

PAUSES_S: Final = (0.0015, 0.05, 1.3, 5.0)
WAITING_PACKETS: Final = 300  # of 1,200 bytes, from each host: more than a connection holds
YEAR_S: Final = 365 * 86_400
IDENTITIES = st.sampled_from(sorted(MEMBERS))
CLUSTERS = st.sampled_from(["red", "blue", "green"])
SITES = st.integers(0, MAX_SITES - 1)
FLAGS = st.booleans()
Step = Callable[..., None]


def step(**arguments: st.SearchStrategy[Any]) -> Callable[[Step], Step]:
    """Make a method a rule: traffic before it, a pause and a judgement after it."""

    def decorate(act: Step) -> Step:
        @wraps(act)
        def acted(machine: FleetMachine, pause_s: float, **values: Any) -> None:
            machine.coverage.rules[act.__name__] += 1
            machine.coverage.add("steps")
            machine.is_sound = False
            machine.fleet.background()
            act(machine, **values)
            machine.fleet.run(pause_s)
            judge(machine.fleet, machine.witness)
            machine.is_sound = True

        decorated: Step = rule(**{"pause_s": st.sampled_from(PAUSES_S), **arguments})(acted)  # type: ignore[call-overload]
        return decorated

    return decorate


class FleetMachine(RuleBasedStateMachine):
    """One world from its beginning to its end.

    Args:
        make_world: makes a world of the entries of MEMBERS.
        coverage, witness: of the run.
    """

    def __init__(self, make_world: Callable[[], World], coverage: Coverage, witness: KeyWitness) -> None:
        super().__init__()
        self.coverage = coverage
        self.witness = witness
        self.world = make_world()
        witness.new_world(self.world.reactor.now)
        self.fleet = Fleet(self.world, MEMBERS, coverage)
        for identity in MEMBERS:
            self.fleet.connect(identity, through_path=identity not in ("r2", "b1"))
        self.world.run_until_online(*MEMBERS)
        self.is_sound = True
        coverage.add("worlds")

    def teardown(self) -> None:
        """Let the world come to rest; after a failure there is nothing more to learn."""
        if self.is_sound:
            calm(self.fleet, self.witness)
            rest(self.fleet, self.witness)
            self.world.finish()
            self.fleet.count_what_ended()

    def site(self, number: int) -> Site:
        """Return one of the hosts."""
        sites = self.fleet.sites
        return sites[number % len(sites)]

    # --- time --------------------------------------------------------------------------------------------------------

    @step(seconds=st.sampled_from([31.0, 125.0, 400.0]), packets=st.sampled_from([2, 60]))
    def time_passes(self, seconds: float, packets: int) -> None:
        for _ in range(packets):
            self.fleet.background()
            self.fleet.run(seconds / packets)

    @step(seconds=st.sampled_from([-3 * YEAR_S, -100, 100, 5 * YEAR_S]))
    def wall_clock_jumps(self, seconds: int) -> None:
        self.fleet.jump(seconds)

    @step(seconds=st.sampled_from([1.0, 61.0, 181.0, 86_400.0]))
    def everybody_sleeps(self, seconds: float) -> None:
        self.fleet.suspend(seconds)

    @step()
    def things_calm_down(self) -> None:
        calm(self.fleet, self.witness)

    # --- packets -----------------------------------------------------------------------------------------------------

    @step()
    def everybody_sends_everything(self) -> None:
        self.fleet.everybody_to_everybody()

    @step(site=SITES, source=st.sampled_from(ADDRESSES), destination=st.sampled_from(ADDRESSES))
    def one_sends(self, site: int, source: str, destination: str) -> None:
        self.fleet.send(self.site(site), source, destination)

    @step(site=SITES, to=SITES, records=st.sampled_from([50, 2 * SMALL_RECORD_LIMIT]))
    def one_sends_much(self, site: int, to: int, records: int) -> None:
        self.fleet.burst(self.site(site), self.site(to), records, per_turn=1)

    @step(to=SITES, what=st.sampled_from(["it is back", "it is too late", "its keys are read again", "a twin starts"]))
    def a_receiver_stalls(self, to: int, what: str) -> None:
        """Let packets wait for a member at the relay, until something happens to it."""
        fleet, receiver = self.fleet, self.site(to)
        fleet.cut(receiver)
        for site in fleet.sites:
            fleet.burst(site, receiver, WAITING_PACKETS, body_bytes=1200)
        fleet.run(12.0 if what == "it is too late" else 0.5)
        judge(fleet, self.witness)
        if what == "a twin starts" and len(fleet.sites) < MAX_SITES:
            fleet.connect(receiver.identity, through_path=False)
        elif what == "its keys are read again":
            receiver.host.client.reload()
        fleet.run(1.5)
        judge(fleet, self.witness)
        fleet.mend(receiver)

    # --- hosts and what lies between ---------------------------------------------------------------------------------

    @step(identity=IDENTITIES, through_path=FLAGS)
    def a_host_starts(self, identity: str, through_path: bool) -> None:
        if len(self.fleet.sites) < MAX_SITES:
            self.fleet.connect(identity, through_path=through_path)

    @step(identity=IDENTITIES, after_s=st.sampled_from([0.0035, 0.0045, 0.0055]))
    def a_host_is_overtaken(self, identity: str, after_s: float) -> None:
        """Hold a handshake back at one of its messages until another host of the same member is in."""
        fleet = self.fleet
        if len(fleet.sites) <= MAX_SITES - 2:
            slow = fleet.connect(identity, through_path=False)
            fleet.run(after_s)
            fleet.cut(slow)
            fleet.connect(identity, through_path=False)
            fleet.run(1.5)
            judge(fleet, self.witness)
            fleet.mend(slow)

    @step(site=SITES, crash=FLAGS)
    def a_host_ends(self, site: int, crash: bool) -> None:
        if len(self.fleet.sites) > 2:
            self.fleet.stop(self.site(site), crash=crash)

    @step(site=SITES, ages=st.sampled_from(AGES), server_ages=st.sampled_from(AGES))
    def a_client_reads_its_keys_again(self, site: int, ages: tuple[str, ...], server_ages: tuple[str, ...]) -> None:
        self.fleet.give_keys(self.site(site), ages, server_ages)

    @step(site=SITES)
    def a_device_vanishes(self, site: int) -> None:
        self.site(site).host.tun.vanish()

    @step(site=SITES)
    def a_device_is_set_down(self, site: int) -> None:
        self.site(site).host.tun.down = True

    @step(site=SITES)
    def a_way_is_cut(self, site: int) -> None:
        self.fleet.cut(self.site(site))

    @step(site=SITES)
    def a_way_is_mended(self, site: int) -> None:
        self.fleet.mend(self.site(site))

    @step(site=SITES)
    def a_connection_is_reset(self, site: int) -> None:
        self.fleet.reset(self.site(site))

    @step(site=SITES, way=st.sampled_from(["up", "down"]), how=st.sampled_from(sorted(TAMPERINGS)))
    def somebody_tampers(self, site: int, way: str, how: str) -> None:
        self.fleet.tamper(self.site(site), way, how)

    @step(number=st.integers(0, 63), share=st.sampled_from([0.01, 0.3, 1.0]))
    def somebody_replays(self, number: int, share: float) -> None:
        self.fleet.replay(number, share)

    @step(name=st.sampled_from(sorted(WEATHERS)))
    def the_weather_changes(self, name: str) -> None:
        self.fleet.set_weather(name)

    # --- the file ----------------------------------------------------------------------------------------------------

    @step(identity=IDENTITIES)
    def a_member_is_removed(self, identity: str) -> None:
        self.fleet.remove(identity)
        self.coverage.add("revocations")

    @step(identity=IDENTITIES, enabled=FLAGS)
    def a_member_is_disabled_or_not(self, identity: str, enabled: bool) -> None:
        self.fleet.edit(identity, enabled=enabled)
        self.coverage.add("revocations", not enabled)

    @step(identity=IDENTITIES, cluster=CLUSTERS)
    def a_member_moves(self, identity: str, cluster: str) -> None:
        self.fleet.edit(identity, cluster=cluster)

    @step(before=CLUSTERS, after=CLUSTERS)
    def a_cluster_is_renamed(self, before: str, after: str) -> None:
        self.fleet.rename_cluster(before, after)

    @step(identity=IDENTITIES, prefixes=st.sampled_from(PREFIXES))
    def prefixes_change(self, identity: str, prefixes: tuple[str, ...]) -> None:
        self.fleet.edit(identity, prefixes=prefixes)

    @step(identity=IDENTITIES, address=st.sampled_from(ADDRESSES[:4]))
    def an_address_changes(self, identity: str, address: str) -> None:
        self.fleet.edit(identity, address=address)

    @step(identity=IDENTITIES, ages=st.sampled_from(AGES))
    def a_member_gets_other_keys(self, identity: str, ages: tuple[str, ...]) -> None:
        if MEMBERS[identity].keys:
            self.fleet.edit(identity, keys=KEYS[identity, ages])

    @step(identity=IDENTITIES, in_s=st.sampled_from([-10, 2, 100, 2 * YEAR_S]))
    def access_gets_an_end(self, identity: str, in_s: int) -> None:
        self.fleet.edit(identity, expires_at=int(self.world.reactor.wall_clock()) + in_s)

    @step(identity=IDENTITIES)
    def access_gets_no_end(self, identity: str) -> None:
        self.fleet.edit(identity, expires_at=None)

    @step()
    def all_entries_are_as_at_first(self) -> None:
        self.fleet.write(MEMBERS)

    @step(how=st.sampled_from(sorted(DAMAGES)))
    def the_file_is_damaged(self, how: str) -> None:
        self.fleet.write_bad(DAMAGES[how])

    @step()
    def another_tool_rewrites_the_file(self) -> None:
        self.fleet.write_without_keys()

    # --- the server --------------------------------------------------------------------------------------------------

    @step(kill=FLAGS, away_s=st.sampled_from([0.0, 0.4, 20.0, 100.0]))
    def the_server_restarts(self, kill: bool, away_s: float) -> None:
        self.fleet.stop_server(kill=kill)
        self.fleet.run(away_s)
        self.fleet.start_server()

    @step(ages=st.sampled_from(AGES))
    def the_server_gets_other_keys(self, ages: tuple[str, ...]) -> None:
        self.fleet.change_server_keys(ages)

    @step()
    def the_server_is_told_to_reload(self) -> None:
        self.world.server.reload()


RULES: Final = {name for name in vars(FleetMachine) if hasattr(vars(FleetMachine)[name], "hypothesis_stateful_rule")}
