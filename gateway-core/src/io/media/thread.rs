//! What the media thread does every 5 ms: packets in, commands, frames, packets out, answers.

use std::io::{self, Write};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

use super::sockets::{Clocks, SocketTable};
use super::{MediaSockets, Shared};
use crate::base::ids::CallKey;
use crate::base::limits::{RTP_DATAGRAM_BYTES_MAX, SHARD_COMMANDS_PER_WAKE};
use crate::base::time::WallClock;
use crate::leg::counters::ConferenceCounters;
use crate::leg::media::{FromMedia, ToMedia};
use crate::leg::trunk::media::MediaCounters;
use crate::shard::{Shard, ShardConfig, ShardCounters};

/// From signalling to the thread, in one ring, so that the order stays.
pub(super) enum Order {
    Shard(ToMedia),
    Open(CallKey, MediaSockets),
    Close(CallKey),
    OpenConference(CallKey, u8, UdpSocket),
    CloseConference(CallKey, u8),
}

crate::counters! {
    /// What a media thread did.
    pub struct ThreadCounters {
        /// Datagrams received on media ports.
        media_datagrams_received,
        /// Datagrams sent from media ports.
        media_datagrams_sent,
        /// Datagrams the kernel did not take.
        media_datagrams_unsent,
        /// Time the media thread worked, in microseconds; divided by real time: its load.
        media_busy_us,
        /// Worst lateness of a wake in the last second, in microseconds.
        media_late_us_last_second,
    }
}

/// The thread's own half.
pub(super) struct MediaThread {
    shard: Shard,
    sockets: SocketTable,
    orders: rtrb::Consumer<Order>,
    answers: rtrb::Producer<FromMedia>,
    shared: Arc<Shared>,
    published: Arc<Published>,
    counters: ThreadCounters,
    late_max: Duration,
    publish_at: Instant,
    clock: SleepClock,
    buffer: Box<[u8; RTP_DATAGRAM_BYTES_MAX]>,
}

impl MediaThread {
    pub(super) fn new(
        size: ShardConfig,
        orders: rtrb::Consumer<Order>,
        answers: rtrb::Producer<FromMedia>,
        shared: Arc<Shared>,
        published: Arc<Published>,
    ) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            shard: Shard::new(size, now),
            sockets: SocketTable::new(size.calls_max, &shared.wake)?,
            orders,
            answers,
            shared,
            published,
            counters: ThreadCounters::default(),
            late_max: Duration::ZERO,
            publish_at: now,
            clock: SleepClock::new()?,
            buffer: Box::new([0; RTP_DATAGRAM_BYTES_MAX]),
        })
    }

    /// Until the handle is dropped.
    pub(super) fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            match self.shard.poll_timeout() {
                Some((deadline, _)) => self.clock.sleep_until(deadline),
                None => self.sleep_idle(),
            }
            self.wake();
        }
    }

    /// No call: sleeps until an order comes.
    fn sleep_idle(&mut self) {
        self.shared.asleep.store(true, Ordering::SeqCst);
        if self.orders.is_empty() && !self.shared.stop.load(Ordering::SeqCst) {
            self.sockets.sleep_until_woken(&self.shared.wake);
        }
        self.shared.asleep.store(false, Ordering::SeqCst);
    }

    fn wake(&mut self) {
        let clocks = Clocks::read();
        if let Some((deadline, _)) = self.shard.poll_timeout() {
            self.late_max = self.late_max.max(clocks.now.saturating_duration_since(deadline));
        }
        let (shard, received) = (&mut self.shard, &mut self.counters.media_datagrams_received);
        self.sockets.receive(clocks, &mut |arrival| {
            *received += 1;
            let (call, socket, from) = (arrival.call, arrival.socket, arrival.from);
            shard.handle_packet(arrival.at, call, socket, from, arrival.bytes);
        });
        self.run_ticks(clocks.now);
        self.take_orders(clocks.now);
        self.give_answers();
        let done = Instant::now();
        self.counters.media_busy_us +=
            done.saturating_duration_since(clocks.now).as_micros() as u64;
        if done >= self.publish_at {
            self.publish(clocks, done);
        }
    }

    fn run_ticks(&mut self, now: Instant) {
        self.send_everything();
        while self.shard.poll_timeout().is_some_and(|(deadline, _)| deadline <= now) {
            self.shard.handle_timeout(now);
            self.send_everything();
        }
    }

    /// A burst of set-ups never delays audio: at most so many per wake, and none while answers pile up.
    fn take_orders(&mut self, now: Instant) {
        for _ in 0..SHARD_COMMANDS_PER_WAKE {
            if !self.shard.takes_commands() {
                return;
            }
            match self.orders.pop() {
                Ok(Order::Shard(command)) => {
                    self.shard.command(now, command);
                    self.send_everything();
                }
                Ok(Order::Open(call, sockets)) => self.sockets.open(call, sockets),
                Ok(Order::Close(call)) => self.sockets.close(call),
                Ok(Order::OpenConference(call, socket, bound)) => {
                    self.sockets.open_conference(call, socket, bound);
                }
                Ok(Order::CloseConference(call, socket)) => {
                    self.sockets.close_conference(call, socket);
                }
                Err(_) => return,
            }
        }
    }

    fn send_everything(&mut self) {
        while let Some((call, transmit)) = self.shard.poll_transmit(self.buffer.as_mut_slice()) {
            let bytes = self.buffer.get(..transmit.length).unwrap_or_default();
            self.sockets.send(call, transmit, bytes);
        }
    }

    fn give_answers(&mut self) {
        let mut rings = false;
        while self.answers.slots() > 0 {
            let Some(answer) = self.shard.poll_output() else { break };
            let _ = self.answers.push(answer);
            rings = true;
        }
        if rings {
            // Full means that it rings already.
            let _ = (&self.shared.answered).write(&[1]);
        }
    }

    /// Once a second.
    fn publish(&mut self, clocks: Clocks, done: Instant) {
        self.publish_at = done + Duration::from_secs(1);
        self.shard.set_wall_clock(clocks.now, WallClock { unix: clocks.wall() });
        self.counters.media_datagrams_sent = self.sockets.sent;
        self.counters.media_datagrams_unsent = self.sockets.unsent;
        self.counters.media_late_us_last_second =
            std::mem::take(&mut self.late_max).as_micros() as u64;
        let media = (self.shard.media_counters(), self.shard.conference_counters());
        let sums = (self.counters, self.shard.counters(), media.0, media.1);
        self.published.store(sums);
    }
}

/// Sleeps to an absolute instant of the monotonic clock, which `Instant` counts too but does not show.
struct SleepClock {
    instant: Instant,
    monotonic: Duration,
}

impl SleepClock {
    fn new() -> io::Result<Self> {
        let monotonic = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        Ok(Self { instant: Instant::now(), monotonic })
    }

    fn sleep_until(&self, deadline: Instant) {
        let at = self.monotonic + deadline.saturating_duration_since(self.instant);
        let flags = ClockNanosleepFlags::TIMER_ABSTIME;
        // A signal ends it early: the next round sleeps again.
        let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, flags, &TimeSpec::from(at));
    }
}

/// A copy of the thread's counters that anybody may read without a lock.
pub(super) struct Published {
    values: [AtomicU64; PUBLISHED_MAX],
}

impl Default for Published {
    fn default() -> Self {
        Self { values: [const { AtomicU64::new(0) }; PUBLISHED_MAX] }
    }
}

type Sums = (ThreadCounters, ShardCounters, MediaCounters, ConferenceCounters);

impl Published {
    fn store(&self, sums: Sums) {
        let mut index = 0;
        visit(&sums, &mut |_, _, value| {
            if let Some(place) = self.values.get(index) {
                place.store(value, Ordering::Relaxed);
            }
            index += 1;
        });
        debug_assert!(index <= PUBLISHED_MAX, "counters without a place");
    }

    pub(super) fn visit(&self, see: &mut dyn FnMut(&'static str, &'static str, u64)) {
        let mut index = 0;
        visit(&Sums::default(), &mut |name, help, _| {
            if let Some(place) = self.values.get(index) {
                see(name, help, place.load(Ordering::Relaxed));
            }
            index += 1;
        });
    }
}

fn visit(sums: &Sums, see: &mut dyn FnMut(&'static str, &'static str, u64)) {
    sums.0.visit(see);
    sums.1.visit(see);
    sums.2.visit(see);
    sums.3.visit(see);
}

/// Counters of the four structs above.
const PUBLISHED_MAX: usize = 64;
