//! Drawing PINs: uniform over all numbers without a leading zero and without two equal neighbours.
//!
//! Some providers drop the second of two equal keys, and a leading zero is lost where a PIN is taken for a number. Both
//! rules leave 9^n PINs: 387 million of nine digits.

use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;

/// A PIN of `digits` digits. Each position draws one of nine: the first from 1 to 9, each next from all but its
/// neighbour; so all PINs are equally likely.
pub fn draw(digits: u8, rng: &mut Rng) -> Pii<String> {
    let mut text = String::with_capacity(usize::from(digits));
    let mut last = 0;
    for _ in 0..digits {
        // 0 to 8, then stepping over the neighbour. Before the first digit the neighbour is 0: no leading zero.
        let drawn = rng.below(9);
        let digit = if drawn >= last { drawn + 1 } else { drawn };
        text.push(char::from_digit(digit, 10).expect("0 to 9: at most 8 drawn, 1 added"));
        last = digit;
    }
    Pii::new(text)
}
