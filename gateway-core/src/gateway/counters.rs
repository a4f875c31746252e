//! What the gateway counts.

crate::counters! {
    /// What the gateway did since it started.
    pub struct GatewayCounters {
        /// Calls that began, in and out.
        calls_started,
        /// Calls that ended: as many as records were written.
        calls_ended,
        /// Calls that we made.
        calls_dialled,
        /// Calls that we made and that were answered.
        calls_dialled_answered,
        /// Calls that we made and that were never answered: refused, busy, given up.
        calls_dialled_failed,
        /// Calls refused because no RTP port could be had.
        calls_without_port,
        /// RTP ports that another program had taken.
        ports_not_bound,
        /// Browsers that asked to join.
        browsers_asked,
        /// Browsers refused because there are too many, or because the gateway is draining or busy.
        browsers_refused,
        /// Calls that asked for a backend that is not there.
        backends_unknown,
        /// JSON by SIP INFO that is broken, or says nothing that we know; answered 200.
        infos_not_known,
        /// Events for calls that were over.
        events_late,
    }
}
