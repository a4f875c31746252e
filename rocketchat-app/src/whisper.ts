import type { IModify } from '@rocket.chat/apps-engine/definition/accessors';
import type { IRoom } from '@rocket.chat/apps-engine/definition/rooms';
import type { BlockBuilder } from '@rocket.chat/apps-engine/definition/uikit';
import type { IUser } from '@rocket.chat/apps-engine/definition/users';

/** Words for one user in a room: others do not see them, and they are kept nowhere. */
export async function whisper(modify: IModify, user: IUser, room: IRoom, text: string, more: { blocks?: BlockBuilder; thread?: string } = {}): Promise<void> {
	const notifier = modify.getNotifier();
	const message = notifier.getMessageBuilder().setRoom(room).setText(text);
	if (more.blocks && more.blocks.getBlocks().length > 0) message.setBlocks(more.blocks);
	if (more.thread) message.setThreadId(more.thread);
	await notifier.notifyUser(user, message.getMessage());
}
