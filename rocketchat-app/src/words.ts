// What people read.

/** `482913075` as `482 913 075`, as Jitsi Meet shows it. */
export function grouped(pin: string): string {
	const size = Math.max(1, Math.ceil(pin.length / 3));
	return pin.match(new RegExp(`.{1,${size}}`, 'g'))?.join(' ') ?? '';
}

const dialled = (number: string) => (number.startsWith('+') ? '+' : '') + number.replace(/\D/g, '');

/** Numbers, PIN, and links that dial both. */
export function invitation(numbers: string[], pin: string): string {
	const lines = numbers.map((number) => `Number: *${number}*  [tap to call](tel:${dialled(number)},${pin}%23)`);
	return [...lines, `PIN: *${grouped(pin)} #*`].join('\n');
}

export const NO_MEETING = 'No meeting is going on here. Start one with the call button, then ask again.';
export const FOREIGN = 'Phones cannot join that meeting.';
export const NO_NUMBER = 'This app is not set up yet: no telephone number is set.';
export const NO_PHONES = 'No phone is in this meeting.';
export const NOT_YOURS = 'Only who started the call, and moderators and owners of this room, may do that.';
export const FAILED = 'That did not work just now. Please try again in a minute.';
export const DONE = { admit: 'Admitted.', mute: 'Muted.', unmute: 'Microphone opened.', hangup: 'Hung up.' };
