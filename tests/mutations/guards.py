"""The guards that everything else leans on: where each stands, how it looks when it is gone, which test has to notice.

Here are those of the wire and of the relay; `client_guards.py` has those of the client and of its host,
`deploy_guards.py` those of deployments.
"""

from __future__ import annotations

from typing import Final

from tests.mutations.client_guards import CLIENT_GUARDS
from tests.mutations.deploy_guards import DEPLOY_GUARDS
from tests.mutations.guard import SIMULATION, Guard

GUARDS: Final = (
    *CLIENT_GUARDS,
    *DEPLOY_GUARDS,
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
        "            if session.identity in changed:",
        "            if session.confirmed and session.identity in changed:",
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
        "a key that others may read is root's to lend",
        "config/keys.py",
        "lent = status.st_uid == 0 != os.geteuid() and status.st_gid == os.getegid()",
        "lent = status.st_gid == os.getegid()",
        "tests/unit/config/test_keys.py::test_a_file_that_root_lends_to_a_service",
    ),
    Guard(
        "no child speaks to the service manager",
        "backends/notify_socket.py",
        'name = os.fsencode(environ.pop(NOTIFY_SOCKET, ""))',
        'name = os.fsencode(environ.get(NOTIFY_SOCKET, ""))',
        "tests/unit/backends/test_notify_socket.py::test_children_do_not_inherit_it",
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
        "an object of JSON means one thing",
        "protocol/strict_json.py",
        "    if len(members) != len(pairs):\n",
        "    if False:\n",
        "tests/unit/protocol/test_strict_json.py::test_what_readers_understand_differently_is_refused",
    ),
)
