"""The guards that everything else leans on: where each stands, how it looks when it is gone, which test has to notice.

A guard is taken out by exact text, so whoever changes the line changes it here as well: a text that is not found, or
found twice, fails. A replacement is valid code that only fails to guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SIMULATION: Final = "tests/simulation"


@dataclass(frozen=True)
class Guard:
    """One guard.

    Attributes:
        what: it keeps, in words.
        file: below rustun/.
        text: of the guard, exactly once in the file.
        without: what stands there when it is gone.
        test: what has to fail then, and to pass with the guard.
        also: a second text of the same file that changes with it, and what stands there then.
    """

    what: str
    file: str
    text: str
    without: str
    test: str
    also: tuple[str, str] = ("", "")

    def taken_out_of(self, source: str) -> str:
        """Return the file without the guard."""
        for text, without in ((self.text, self.without), self.also):
            assert not text or source.count(text) == 1, f"{self.file} does not have it exactly once: {text}"
            source = source.replace(text, without) if text else source
        return source


GUARDS: Final = (
    Guard(
        "a packet's source belongs to its sender",
        "relay/cluster.py",
        "if not self._routes.source_ok(sender.identity, source, version):",
        "if False:",
        f"{SIMULATION}/test_packets.py::test_row_17_forged_sources_are_dropped_and_counted",
    ),
    Guard(
        "a session forwards within its own cluster",
        "relay/pending.py",
        "            member,\n            self._core.clusters[member.cluster],\n            hello,",
        "            member,\n            next(iter(self._core.clusters.values())),\n            hello,",
        f"{SIMULATION}/test_members.py::test_two_clusters_with_identical_addresses_never_see_each_other",
    ),
    Guard(
        "strangers end at the envelope",
        "protocol/envelope.py",
        "            return None\n",
        "            return frame_header + frame[_SEALED:-16]\n",
        f"{SIMULATION}/test_key_tier_proofs.py::test_row_8_a_message_for_another_server",
    ),
    Guard(
        "the header of a first message is sealed with it",
        "protocol/handshake.py",
        'suite.tier.value.encode() + b"\\0" + init_header',
        'suite.tier.value.encode() + b"\\0"',
        "tests/unit/protocol/test_handshake.py::test_every_bit_of_the_first_message_counts",
    ),
    Guard(
        "a known identity has a key of its own",
        "relay/policy.py",
        "return member is not None and public is not None and canonical(public) in member.public_keys",
        "return member is not None and public is not None",
        f"{SIMULATION}/test_key_tier_proofs.py::test_row_8_a_known_identity_with_another_key",
    ),
    Guard(
        "nobody is below the tier that holds for him",
        "relay/policy.py",
        "if tier < wanted:",
        "if False:",
        f"{SIMULATION}/test_key_tier_proofs.py::test_row_13_an_entry_with_a_key_is_not_had_for_less",
    ),
    Guard(
        "the keys are proved before a place is taken",
        "relay/core.py",
        "if isinstance(session, SeedSession):\n            self.takeover.claim(session)",
        "self.takeover.claim(session)",
        f"{SIMULATION}/test_key_tier_takeover.py::test_row_24_who_has_not_proved_anything_takes_nothing",
    ),
    Guard(
        "a handshake that began earlier ends with the newest proof",
        "relay/takeover.py",
        "for older in self._older(session):",
        "for older in list[RelaySession]():",
        f"{SIMULATION}/test_key_tier_takeover.py::test_row_24_an_older_handshake_that_is_proved_late_is_closed",
    ),
    Guard(
        "a lower tier takes no place from a higher one",
        "relay/takeover.py",
        "if incumbent is not None and incumbent.tier > session.tier:",
        "if False:",
        f"{SIMULATION}/test_takeover.py::test_row_24_a_lower_tier_takes_nothing_from_a_higher_one",
    ),
    Guard(
        "the first record is the proof, not data",
        "relay/noise_session.py",
        'raise ProtocolError("data before the first control record")',
        "pass",
        f"{SIMULATION}/test_records.py::test_row_11_data_before_the_keys_are_confirmed",
    ),
    Guard(
        "no counter is used twice, whatever goes wrong",
        "protocol/records.py",
        "        self._counter = counter + 1\n        payload_bytes = len(plaintext) + TAG_BYTES\n",
        "        payload_bytes = len(plaintext) + TAG_BYTES\n",
        "tests/unit/protocol/test_records.py::test_no_nonce_is_used_twice_whatever_goes_wrong",
        also=("out[at:body], out[body:end])\n", "out[at:body], out[body:end])\n        self._counter = counter + 1\n"),
    ),
    Guard(
        "a record's header is sealed with it",
        "protocol/records.py",
        "frame[HEADER_BYTES:], frame[:HEADER_BYTES], out[at:end])",
        'frame[HEADER_BYTES:], b"", out[at:end])',
        "tests/unit/protocol/test_records.py::test_every_bit_of_a_record_counts",
        also=("plaintext, out[at:body], out[body:end])", 'plaintext, b"", out[body:end])'),
    ),
    Guard(
        "keys die of age",
        "protocol/records.py",
        "return now < self._dead_at and self._counter < self._max_records",
        "return self._counter < self._max_records",
        f"{SIMULATION}/test_rekey.py::test_no_record_is_made_with_keys_that_died_in_sleep",
    ),
    Guard(
        "keys die of use",
        "protocol/records.py",
        '        if counter >= self._max_records:\n            raise ProtocolError("this key has sealed',
        '        if False:\n            raise ProtocolError("this key has sealed',
        "tests/unit/protocol/test_records.py::test_no_key_seals_or_opens_more_than_it_may",
    ),
    Guard(
        "a rekey has the static key of its session",
        "protocol/rekey.py",
        "if noise.remote_static != self._credentials.remote_static:",
        "if False:",
        f"{SIMULATION}/test_key_tier_proofs.py::test_a_rekey_has_the_keys_of_its_session",
    ),
    Guard(
        "a rekey is bound to the handshake before it",
        "protocol/rekey.py",
        "(_LABEL + self._chain, ephemeral, initiator=False)",
        "(_LABEL, ephemeral, initiator=False)",
        "tests/unit/protocol/test_rekey.py::test_a_rekey_is_bound_to_the_handshake_before",
        also=("(_LABEL + self._chain, ephemeral, initiator=True)", "(_LABEL, ephemeral, initiator=True)"),
    ),
    Guard(
        "a session ends with the keys that it was made with",
        "relay/revocation.py",
        "if not keys_hold or policy.wanted_tier(after) > session.tier:",
        "if policy.wanted_tier(after) > session.tier:",
        f"{SIMULATION}/test_key_tier_revocation.py::test_row_27_whatever_it_was_doing_its_session_ends",
    ),
    Guard(
        "a changed entry is looked at at once, mid-handshake too",
        "relay/core.py",
        "            if after.get(session.identity) != before[session.identity]:",
        "            if session.confirmed and after.get(session.identity) != before[session.identity]:",
        f"{SIMULATION}/test_key_tier_revocation.py::test_row_27_whatever_it_was_doing_its_session_ends",
    ),
    Guard(
        "an access ends in time",
        "relay/server.py",
        "elif expires_at is not None and self._reactor.wall_clock() >= expires_at.timestamp():",
        "elif expires_at is not None and False:",
        f"{SIMULATION}/test_key_tier_revocation.py::test_row_27_an_end_in_time_comes_whatever_it_is_doing",
    ),
    Guard(
        "a seed's handshake counts once",
        "relay/policy.py",
        "        if nonce in self._nonces:\n            return False\n",
        "",
        f"{SIMULATION}/test_replays.py::test_row_9_a_replayed_handshake_of_the_seed_is_refused",
    ),
    Guard(
        "control messages have a rate",
        "relay/session.py",
        'raise ProtocolError(f"more than {limit} control messages a second")',
        "pass",
        f"{SIMULATION}/test_packets.py::test_row_37_too_many_control_messages_end_the_session",
    ),
    Guard(
        "a keepalive speaks for its own session",
        "relay/seed_session.py",
        "if keepalive.identity != self.identity:",
        "if False:",
        f"{SIMULATION}/test_packets.py::test_row_16_a_keepalive_that_names_another_is_passed_over",
    ),
    Guard(
        "a first frame has a length",
        "relay/pending.py",
        "FrameReader(core.policy.first_types, core.limits.first_frame_bytes)",
        "FrameReader(core.policy.first_types)",
        f"{SIMULATION}/test_first_frames.py::test_row_3_a_length_over_the_limit_is_refused_at_the_header",
    ),
    Guard(
        "strangers have a number",
        "relay/admission.py",
        "if len(self._all) < self._max_connections:",
        "if True:",
        f"{SIMULATION}/test_first_frames.py::test_row_5_unproven_sessions_fill_the_same_pool",
    ),
    Guard(
        "strangers have a time",
        "relay/acceptor.py",
        "if pending.deadline > now:",
        "if True:",
        f"{SIMULATION}/test_first_frames.py::test_row_5_the_five_seconds_include_the_proof_of_keys",
    ),
    Guard(
        "what a packet asks of the kernel is judged at the relay",
        "relay/switch.py",
        "reason = examine(plain, start, length, flags, segment_bytes, mtu)",
        "reason = examine(plain, start, length, 0, 0, 65_535)",
        f"{SIMULATION}/test_packets.py::test_row_20_offload_requests_that_nobody_may_make",
    ),
    Guard(
        "what a packet asks of the kernel is judged at the client",
        "client/pump.py",
        "reason = examine(plain, start, length, flags, segment_bytes, MAX_PACKET_BYTES)",
        "reason = examine(plain, start, length, 0, 0, MAX_PACKET_BYTES)",
        "tests/unit/client/test_pump.py::test_delivery_agrees_with_judging_each_packet",
    ),
    Guard(
        "a client takes what it routes into the tunnel, for itself",
        "client/peers.py",
        "verdict = self.verdicts[key] = self._judge(key)",
        'verdict = self.verdicts[key] = self._judge(key) and ""',
        "tests/unit/client/test_pump.py::test_delivery_agrees_with_judging_each_packet",
    ),
    Guard(
        "a kill switch does not wait for a first session",
        "client/client.py",
        "own is None and self.host_state is not None and not self.config.host.kill_switch",
        "own is None",
        f"{SIMULATION}/test_host_wishes.py::test_a_kill_switch_stands_from_the_start_to_the_end",
    ),
    Guard(
        "an exit node does not speak for what the host refused",
        "client/peers.py",
        "            self._inside.insert(prefix, False)\n",
        "            pass\n",
        "tests/unit/client/test_peers.py::test_what_the_host_refused_stays_outside_an_exit_too",
    ),
    Guard(
        "a question uses no key that is too old",
        "client/session.py",
        "if not self.closed and self._keys_alive(now):",
        "if not self.closed:",
        f"{SIMULATION}/test_roaming.py::test_no_question_is_asked_with_keys_that_are_too_old",
    ),
    Guard(
        "waits that a server asked for outlast a change of the network",
        "client/server_link.py",
        "elif not self._firm:",
        "else:",
        f"{SIMULATION}/test_roaming.py::test_waits_that_a_server_asked_for_are_not_cut_short",
    ),
    Guard(
        "two members whose names would be one have none",
        "client/host_wish.py",
        "if len(members) > 1]",
        "if len(members) > 9]",
        "tests/unit/client/test_host_wish.py::test_who_would_share_a_name_has_none",
    ),
    Guard(
        "a tunnel address is reached through the tunnel alone",
        "backends/firewall.py",
        '        *_chain("guard", "type filter hook prerouting priority raw", _guard(wished)),\n',
        "",
        "tests/unit/backends/test_firewall.py::test_the_guard_is_always_there",
    ),
    Guard(
        "an exit node does not lead into the networks that it stands in",
        "backends/firewall.py",
        "own = [prefix for prefix in connected if prefix.version == version]",
        "own: list[Prefix] = []",
        "tests/unit/backends/test_firewall.py::test_an_exit_node_leads_to_the_internet_and_to_nothing_else",
    ),
    Guard(
        "where forwarding was switched on, this host is no router",
        "backends/firewall.py",
        "        if names:\n            yield f'{where}meta",
        "        if False:\n            yield f'{where}meta",
        "tests/unit/backends/test_firewall.py::test_interfaces_that_we_opened_forward_for_the_tunnel_only",
    ),
    Guard(
        "a kill switch has the last word",
        "backends/firewall.py",
        """drop = ["jump outside", 'counter drop comment "beside the tunnel"']""",
        'drop = ["jump outside"]',
        "tests/unit/backends/test_firewall.py::test_the_kill_switch_lets_out_what_is_listed",
    ),
    Guard(
        "what others set meanwhile is not taken back",
        "backends/forwarding.py",
        "value == change.ours and not (family == IPV4 and made_router)",
        "True",
        "tests/unit/backends/test_forwarding.py::test_settings_that_others_made_meanwhile_stay",
    ),
    Guard(
        "nothing outside accept_routes is routed into the tunnel",
        "backends/host_judgement.py",
        "if wished.accept is not None and accept.holding(prefix) is None:",
        "if False:",
        "tests/unit/backends/test_host_judgement.py::test_nothing_outside_accept_routes",
    ),
    Guard(
        "what is about to be changed stands in the journal first",
        "backends/host_changes.py",
        "staying + after.settings,",
        "staying,",
        "tests/unit/backends/test_host_changes.py::test_the_journal_knows_everything_before_the_first_step",
    ),
    Guard(
        "without its firewall a host forwards nothing",
        "backends/host_changes.py",
        "around = survey(candidate, facts.snapshot)",
        "around = survey(wished, facts.snapshot)",
        "tests/unit/backends/test_host_changes.py::test_a_refused_table_takes_forwarding_with_it_and_nothing_else",
    ),
    Guard(
        "what a running client has is not cleaned up",
        "backends/host_journal.py",
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        "tests/unit/backends/test_host_journal.py::test_one_client_for_each_journal",
    ),
    Guard(
        "a journal speaks of settings of interfaces alone",
        "backends/host_journal.py",
        "if SETTING.fullmatch(change.name) is None:",
        "if False:",
        "tests/unit/backends/test_host_journal.py::test_only_settings_of_interfaces_are_believed",
    ),
    Guard(
        "a server speaks for what it tells itself, not for what another one does",
        "client/peers.py",
        "for prefix in told.intersection(report.routed):",
        "for prefix in report.routed:",
        f"{SIMULATION}/test_servers_differ.py::test_a_packet_counts_by_what_its_own_server_tells",
    ),
    Guard(
        "a session that owes an answer comes after those that owe none",
        "client/ways.py",
        "worth = (_reaches(link, destination, version), session.proven(now))",
        "worth = (_reaches(link, destination, version), True)",
        "tests/unit/client/test_ways.py::test_the_first_where_the_destination_is_online",
    ),
    Guard(
        "addresses with a key in common are one server",
        "client/attempts.py",
        "or not set(server.public_keys).isdisjoint(other.public_keys)",
        "or False",
        "tests/unit/client/test_attempts.py::test_a_server_is_who_has_its_key",
    ),
    Guard(
        "an object of JSON means one thing",
        "protocol/strict_json.py",
        "    if len(members) != len(pairs):\n",
        "    if False:\n",
        "tests/unit/protocol/test_strict_json.py::test_what_readers_understand_differently_is_refused",
    ),
    Guard(
        "a client never falls back to another tier",
        "client/handshake.py",
        "FrameReader(frozenset({answer_type}), max_answer_bytes)",
        "FrameReader(frozenset(FrameType), max_answer_bytes)",
        f"{SIMULATION}/test_replays.py::test_row_13_a_recorded_reply_of_the_seed_is_nothing_to_a_client",
    ),
)
