/** A call of gRPC that is answered by many messages, as grpc-js has it. */
interface ServerStream<Message> {
  on(event: 'data', listener: (message: Message) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  cancel(): void;
}

/** Resolves when the stream ends; rejects with its error, or with the signal's reason, which cancels the call. */
export function receiveAll<Message>(
  call: ServerStream<Message>,
  receive: (message: Message) => void,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = () => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    const over = () => signal.removeEventListener('abort', cancel);
    call.on('data', receive);
    call.on('end', () => {
      over();
      resolve();
    });
    call.on('error', error => {
      over();
      reject(signal.aborted ? (signal.reason as Error) : error);
    });
    if (signal.aborted) cancel();
  });
}
