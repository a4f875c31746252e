use std::sync::Arc;

use super::*;
use crate::media::clip::Clip;

const RATE: SampleRate = SampleRate::Hz8000;

/// A clip of one value for `ms`.
fn clip(value: i16, ms: usize) -> Arc<Clip> {
    Arc::new(Clip::new("test".into(), RATE, vec![value; RATE.samples(ms)]))
}

fn playlist(clips: Vec<Arc<Clip>>, repeat: bool, room: RoomDuring) -> Box<Playlist> {
    Box::new(Playlist { clips, repeat, room })
}

struct Bench {
    player: Player,
    out: MediaOutputs,
}

impl Bench {
    fn new() -> Self {
        Self { player: Player::new(CallKey::default()), out: MediaOutputs::new(16) }
    }

    fn play(&mut self, token: u32, playlist: Box<Playlist>) {
        self.player.play(PlayToken(token), playlist, &mut self.out);
    }

    /// 20 ms of a room that says `room` all the time.
    fn frame(&mut self, room: i16) -> Vec<i16> {
        let mut frame = Frame::silence(RATE);
        frame.samples_mut().fill(room);
        self.player.overlay(&mut frame, &mut self.out);
        frame.samples().to_vec()
    }

    fn done(&mut self) -> Option<(u32, bool)> {
        match self.out.pop()? {
            FromMedia::PlayDone { token, finished, .. } => Some((token.0, finished)),
            _ => panic!("only PlayDone comes from a player"),
        }
    }
}

#[test]
fn clips_follow_each_other_without_a_gap_and_end_once() {
    let mut bench = Bench::new();
    let clips = vec![clip(1_000, 30), clip(2_000, 30)];
    bench.play(1, playlist(clips, false, RoomDuring::Silent));
    let heard: Vec<i16> = (0..4).flat_map(|_| bench.frame(0)).collect();
    let one = RATE.samples(30);
    assert!(heard[..RATE.samples(FADE_MS)].windows(2).all(|pair| pair[0] <= pair[1]), "fades in");
    assert!(heard[RATE.samples(FADE_MS)..one].iter().all(|sample| *sample == 1_000));
    assert!(heard[one..2 * one].iter().all(|sample| *sample == 2_000));
    assert!(heard[2 * one..].iter().all(|sample| *sample == 0));
    assert_eq!(bench.done(), Some((1, true)));
    assert_eq!(bench.done(), None);
}

#[test]
fn the_room_is_full_ducked_or_silent_and_comes_back() {
    for (room, level) in
        [(RoomDuring::Full, 10_000), (RoomDuring::Ducked, 2_511), (RoomDuring::Silent, 0)]
    {
        let mut bench = Bench::new();
        bench.play(1, playlist(vec![clip(0, 60)], false, room));
        bench.frame(10_000);
        let during = bench.frame(10_000);
        assert!(during.iter().all(|sample| (sample - level).abs() <= 2), "{room:?}: {}", during[0]);
        bench.frame(10_000);
        bench.frame(10_000);
        assert_eq!(bench.frame(10_000)[0], 10_000, "{room:?}");
    }
}

#[test]
fn a_stop_fades_within_five_milliseconds_without_a_step() {
    let mut bench = Bench::new();
    bench.play(7, playlist(vec![clip(16_000, 500)], false, RoomDuring::Silent));
    bench.frame(0);
    bench.player.stop(Some(PlayToken(6)), &mut bench.out);
    assert_eq!(bench.frame(0)[0], 16_000, "another token stops nothing");
    bench.player.stop(Some(PlayToken(7)), &mut bench.out);
    let tail = bench.frame(0);
    assert!(tail.windows(2).all(|pair| (pair[1] - pair[0]).abs() <= 450), "no click");
    assert!(tail[RATE.samples(FADE_MS)..].iter().all(|sample| *sample == 0));
    assert_eq!(bench.done(), Some((7, false)));
}

#[test]
fn music_repeats_until_it_is_replaced() {
    let mut bench = Bench::new();
    bench.play(1, playlist(vec![clip(1_000, 25)], true, RoomDuring::Silent));
    for _ in 0..100 {
        bench.frame(0);
    }
    assert_eq!(bench.frame(0), vec![1_000; 160]);
    assert_eq!(bench.done(), None);
    bench.play(2, playlist(vec![clip(500, 100)], false, RoomDuring::Silent));
    bench.frame(0);
    assert_eq!(bench.done(), Some((1, false)));
    assert_eq!(bench.frame(0), vec![500; 160]);
}

#[test]
fn an_empty_playlist_ends_at_once_even_if_it_repeats() {
    let mut bench = Bench::new();
    bench.play(1, playlist(vec![clip(0, 0)], true, RoomDuring::Full));
    bench.frame(0);
    assert_eq!(bench.done(), Some((1, true)));
    bench.play(2, playlist(vec![], false, RoomDuring::Full));
    bench.frame(0);
    assert_eq!(bench.done(), Some((2, true)));
}

#[test]
fn loud_over_loud_saturates_and_does_not_wrap() {
    let mut bench = Bench::new();
    bench.play(1, playlist(vec![clip(30_000, 100)], false, RoomDuring::Full));
    bench.frame(0);
    assert_eq!(bench.frame(30_000), vec![i16::MAX; 160]);
}
