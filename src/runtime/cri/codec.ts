import { messageCodec, type ReceivedMessage, type SentMessage } from '#api/machinery/message-codec.ts';
import { enums } from './enums.ts';
import { messages } from './messages.ts';

export type { Integer } from '#api/machinery/message-codec.ts';

export type MessageName = keyof typeof messages;

/** What is sent: a field that is absent has its zero value. */
export type Message<Name extends MessageName> = SentMessage<typeof messages, typeof enums, Name>;

/** What comes: every field is there, nested messages only when they were sent. */
export type Received<Name extends MessageName> = ReceivedMessage<typeof messages, typeof enums, Name>;

const codec = messageCodec(messages, enums);

export function encode<Name extends MessageName>(name: Name, message: Message<Name>): Buffer {
  return codec.encode(name, message);
}

/** Throws an Error on what is no protobuf. Unknown fields are read over; unknown enum numbers count as absent. */
export function decode<Name extends MessageName>(name: Name, bytes: Uint8Array): Received<Name> {
  return codec.decode(name, bytes);
}
