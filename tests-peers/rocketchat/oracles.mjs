// What of Rocket.Chat is published on npm and judges us: bundled into one file by scripts/install-rocketchat-oracles.sh.
export * as rest from '@rocket.chat/rest-typings';
export { schemas } from '@rocket.chat/core-typings';
export { DDPSDK } from '@rocket.chat/ddp-client';
export { parse } from '@rocket.chat/message-parser';
export { default as Ajv } from 'ajv';
export { default as addFormats } from 'ajv-formats';
export { WebSocket, WebSocketServer } from 'ws';
