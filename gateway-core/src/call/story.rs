//! How a call begins, and its record in the making.

use std::time::Duration;

use crate::base::ids::{DialogKey, TrunkId};
use crate::base::pii::Pii;
use crate::base::time::WallClock;
use crate::call::browser::BrowserBirth;
use crate::call::event::DialOrder;
use crate::call::{CallDirection, Digits, Moment, Route};
use crate::media::quality::LegReport;
use crate::sip::endpoint::InviteFacts;

/// A call that is to be made.
#[derive(Debug)]
pub struct Dialling {
    /// Request-URI.
    pub target: String,
    /// From user.
    pub from_user: Pii<String>,
    /// From display name; empty: none.
    pub from_name: Pii<String>,
    /// Extra headers.
    pub headers: Vec<(String, Pii<String>)>,
    /// Room to join on answer.
    pub route: Box<Route>,
    /// Keys to send after the answer, and the pause before them.
    pub keys: Option<(Duration, Digits)>,
    /// Nothing of ours plays to the far side.
    pub quiet: bool,
    /// Who is there first.
    pub order: DialOrder,
}

/// How a call begins.
#[derive(Debug)]
pub enum Birth {
    /// An INVITE came in.
    Invited {
        /// Its dialog.
        dialog: DialogKey,
        /// Facts of the INVITE.
        facts: Box<InviteFacts>,
        /// SDP, if it had one.
        offer: Option<Vec<u8>>,
    },
    /// We call.
    Dialled(Box<Dialling>),
    /// A browser wants to join.
    Browser(Box<BrowserBirth>),
}

/// Who called whom, and when what happened: the CDR in the making.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) direction: CallDirection,
    pub(super) trunk: TrunkId,
    pub(super) call_id: String,
    pub(super) caller: Pii<String>,
    pub(super) dialled: Pii<String>,
    pub(super) started: WallClock,
    pub(super) answered: Option<Moment>,
    pub(super) joined: Option<Moment>,
    /// A call of ours was in the room before it was answered.
    pub(super) was_in_room: bool,
    /// The phone that we called rang.
    pub(super) rang: bool,
    pub(super) status: Option<u16>,
    pub(super) report: LegReport,
}

impl Story {
    pub(super) fn new(at: Moment, trunk: TrunkId, birth: &Birth) -> Self {
        let (direction, call_id, caller, dialled) = match birth {
            Birth::Invited { facts, .. } => (
                CallDirection::Inbound,
                facts.call_id.clone(),
                facts.caller.clone(),
                facts.request_user.clone(),
            ),
            Birth::Dialled(dialling) => (
                CallDirection::Outbound,
                String::new(),
                dialling.from_user.clone(),
                Pii::new(dialling.target.clone()),
            ),
            Birth::Browser(_) => {
                (CallDirection::Inbound, String::new(), Pii::default(), Pii::default())
            }
        };
        Self {
            direction,
            trunk,
            call_id,
            caller,
            dialled,
            started: at.wall,
            answered: None,
            joined: None,
            was_in_room: false,
            rang: false,
            status: None,
            report: LegReport::default(),
        }
    }
}
