// Which call goes on in which room of the chat: the engine tells of a call's start, and has no list of them.

import type { IPersistence, IRead } from '@rocket.chat/apps-engine/definition/accessors';
import type { IMessage } from '@rocket.chat/apps-engine/definition/messages';
import { RocketChatAssociationModel, RocketChatAssociationRecord } from '@rocket.chat/apps-engine/definition/metadata';
import type { VideoConference } from '@rocket.chat/apps-engine/definition/videoConferences/IVideoConference';
import { VideoConferenceStatus } from '@rocket.chat/apps-engine/definition/videoConferences/IVideoConference';

const ofRoom = (room: string) => new RocketChatAssociationRecord(RocketChatAssociationModel.MISC, `newest-call-of-${room}`);

/** The call that a message with a join button belongs to. */
export function callOf(message: IMessage): string | undefined {
	const block = (message.blocks ?? []).find((it) => (it as { type: string }).type === 'video_conf');
	const call = (block as { callId?: unknown } | undefined)?.callId;
	return typeof call === 'string' ? call : undefined;
}

/** The newest call of a room replaces the one before. */
export async function remember(room: string, call: string, persistence: IPersistence): Promise<void> {
	await persistence.removeByAssociation(ofRoom(room));
	await persistence.createWithAssociation({ call }, ofRoom(room));
}

/** The newest call of a room, unless it is over as far as the server knows. */
export async function newest(room: string, read: IRead): Promise<VideoConference | undefined> {
	const [kept] = (await read.getPersistenceReader().readByAssociation(ofRoom(room))) as Array<{ call?: string }>;
	const call = kept?.call ? await read.getVideoConferenceReader().getById(kept.call) : undefined;
	const isOver = call && (call.endedAt || call.status >= VideoConferenceStatus.EXPIRED);
	return isOver ? undefined : call;
}
