// The phones of a meeting, with buttons: admit, mute, hang up. The server tells who pressed one; whether he may is asked each time.

import type { IModify, IRead } from '@rocket.chat/apps-engine/definition/accessors';
import type { IRoom } from '@rocket.chat/apps-engine/definition/rooms';
import type { BlockBuilder } from '@rocket.chat/apps-engine/definition/uikit';
import { ButtonStyle } from '@rocket.chat/apps-engine/definition/uikit';
import type { IUIKitBlockIncomingInteraction } from '@rocket.chat/apps-engine/definition/uikit/UIKitIncomingInteractionTypes';
import type { IUser } from '@rocket.chat/apps-engine/definition/users';
import type { VideoConference } from '@rocket.chat/apps-engine/definition/videoConferences/IVideoConference';

import { explained } from './explained';
import type { Deed, Gateway, Phone } from './Gateway';
import { newest } from './meetings';
import { whisper } from './whisper';
import { DONE, NO_MEETING, NO_PHONES, NOT_YOURS } from './words';

/** Who started the call, and who has the room in his hands. */
export async function isInCharge(user: IUser, call: VideoConference, read: IRead): Promise<boolean> {
	if (call.createdBy._id === user.id) return true;
	const rooms = read.getRoomReader();
	const some = [...(await rooms.getModerators(call.rid)), ...(await rooms.getOwners(call.rid))];
	return some.some((other) => other.id === user.id);
}

export async function showPhones(gateway: Gateway, room: string, modify: IModify, user: IUser, chatRoom: IRoom): Promise<void> {
	// The builder knows which app the buttons belong to.
	const blocks = modify.getCreator().getBlockBuilder();
	const text = await explained(async () => {
		const phones = await gateway.phones(room);
		for (const phone of phones) addPhone(blocks, phone);
		return phones.length === 0 ? NO_PHONES : `Phones in this meeting: ${phones.length}`;
	});
	await whisper(modify, user, chatRoom, text, { blocks });
}

/** Somebody pressed a button of ours. */
export async function pressed(
	data: IUIKitBlockIncomingInteraction,
	gateway: Gateway,
	roomName: (call: VideoConference) => string | undefined,
	read: IRead,
	modify: IModify,
): Promise<void> {
	const { actionId, value, room, user } = data;
	if (!room || !value || !isDeed(actionId)) return;
	const call = await newest(room.id, read);
	const name = call && roomName(call);
	if (!call || !name) return whisper(modify, user, room, NO_MEETING);
	if (!(await isInCharge(user, call, read))) return whisper(modify, user, room, NOT_YOURS);
	const text = await explained(async () => {
		// A value is what the client sends: only calls of this very meeting are touched.
		const phone = (await gateway.phones(name)).find((it) => it.call === value);
		if (!phone) return NO_PHONES;
		await gateway.act(phone.call, actionId);
		return `${phone.label}: ${DONE[actionId]}`;
	});
	await whisper(modify, user, room, text);
}

const isDeed = (action: string): action is Deed => Object.keys(DONE).includes(action);

function addPhone(blocks: BlockBuilder, phone: Phone): void {
	const button = (deed: Deed, text: string, style?: ButtonStyle) =>
		blocks.newButtonElement({ actionId: deed, value: phone.call, text: blocks.newPlainTextObject(text), ...(style && { style }) });
	const state = phone.waiting ? 'waits to be let in' : phone.muted ? 'muted' : 'in the meeting';
	const first = phone.waiting ? button('admit', 'Admit') : phone.muted ? button('unmute', 'Unmute') : button('mute', 'Mute');
	blocks.addSectionBlock({ text: blocks.newPlainTextObject(`${phone.label}: ${state}`) });
	blocks.addActionsBlock({ blockId: phone.call, elements: [first, button('hangup', 'Hang up', ButtonStyle.DANGER)] });
}
