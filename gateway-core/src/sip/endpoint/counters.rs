//! What the endpoint counts. Read by the daemon's metrics.

crate::counters! {
    /// What the endpoint saw and did since it started.
    pub struct EndpointCounters {
        /// Datagrams and stream messages received from trunks.
        sip_messages_received,
        /// Messages sent, repeats included.
        sip_messages_sent,
        /// Responses sent, repeats included.
        sip_responses_sent,
        /// Datagrams dropped because their source is no trunk.
        sip_dropped_unknown_source,
        /// Datagrams dropped because their source sends too many.
        sip_dropped_rate,
        /// Datagrams dropped because all sources together send too many.
        sip_dropped_global_rate,
        /// Datagrams dropped because they are no SIP at first sight.
        sip_dropped_not_sip,
        /// Datagrams dropped because they come from a known scanner.
        sip_dropped_scanner,
        /// Requests answered with a stateless challenge.
        sip_challenged,
        /// Credentials that did not verify.
        sip_credentials_wrong,
        /// Datagrams dropped because their source guessed credentials too often.
        sip_locked_out,
        /// Keep-alives (CRLF) seen.
        sip_keepalives,
        /// Messages that could not be parsed.
        sip_malformed,
        /// Requests answered 400 or 505 because a mandatory header is missing, repeated or wrong.
        sip_bad_requests,
        /// Responses that belong to no transaction of ours.
        sip_stray_responses,
        /// ACKs that belong to nothing.
        sip_stray_acks,
        /// Calls that came in and were told to their owner.
        sip_calls_in,
        /// Calls of ours.
        sip_calls_out,
        /// Calls refused with 503 because a limit is reached.
        sip_calls_over_limit,
        /// Calls refused with 503 because the gateway is being drained.
        sip_calls_while_draining,
        /// Requests refused by the endpoint itself (4xx to 6xx), challenges not counted.
        sip_requests_refused,
        /// INVITEs that came twice by different ways (482).
        sip_merged,
        /// Requests inside a dialog with an old CSeq (500).
        sip_out_of_order,
        /// 2xx repeated because the ACK had not come yet.
        sip_ok_repeated,
        /// Calls whose 2xx was never acknowledged.
        sip_acks_missing,
        /// 2xx that crossed our CANCEL.
        sip_cancel_crossed,
        /// 2xx of forks that were acknowledged and hung up.
        sip_forks_ended,
        /// Offers that crossed (491 sent or received).
        sip_glare,
        /// INFOs sent to programs behind a trunk (`info = "jigasi"`).
        sip_infos_sent,
        /// INFOs of ours that were refused, never answered, or given up because too many waited.
        sip_infos_failed,
        /// INFOs of such programs that are too long or of no kind we know; answered 200.
        sip_infos_ignored,
        /// Calls ended because their session timer ran out.
        sip_sessions_expired,
        /// Requests refused with 422.
        sip_session_too_brief,
        /// REGISTERs sent, repeats not counted.
        sip_registers_sent,
        /// Times that a trunk's peer was looked for at another address.
        sip_peer_moved,
        /// Connections closed because they were too slow, too many, or broke the framing.
        sip_flows_closed,
    }
}
