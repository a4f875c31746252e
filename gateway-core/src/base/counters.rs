//! Counters of a machine: plain integers with a name and a help text, read by the daemon's metrics.

/// Declares a struct of `u64` counters with a `visit` method that gives each one's name, help and value.
///
/// ```
/// gateway_core::counters! {
///     /// What the gate let through and dropped.
///     pub struct GateCounters {
///         /// Datagrams dropped because their source is no trunk.
///         sip_dropped_unknown_source,
///     }
/// }
/// let mut counters = GateCounters::default();
/// counters.sip_dropped_unknown_source += 1;
/// counters.visit(&mut |name, _help, value| assert_eq!((name, value), ("sip_dropped_unknown_source", 1)));
/// ```
#[macro_export]
macro_rules! counters {
    ($(#[doc = $struct_doc:literal])* pub struct $name:ident {
        $($(#[doc = $doc:literal])+ $field:ident,)*
    }) => {
        $(#[doc = $struct_doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: u64,)*
        }

        impl $name {
            /// Calls `see` with name, help and value of each counter.
            pub fn visit(&self, see: &mut dyn FnMut(&'static str, &'static str, u64)) {
                $(see(stringify!($field), concat!($($doc),+), self.$field);)*
            }

            /// Adds `other`, counter by counter.
            #[allow(dead_code, reason = "only counters that many hold are summed")]
            pub fn add(&mut self, other: &Self) {
                $(self.$field = self.$field.wrapping_add(other.$field);)*
            }
        }
    };
}
