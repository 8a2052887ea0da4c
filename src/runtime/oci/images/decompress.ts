import { PassThrough, type Readable, type Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';

/** Undoes gzip or zstd, by the stream's first bytes; anything else passes unchanged. */
export function decompress(source: Readable): Readable {
  const output = new PassThrough();
  let chosen: Transform | undefined;
  let head: Buffer = Buffer.alloc(0);
  const fail = (error: Error) => output.destroy(error);
  const choose = () => {
    chosen = decoderFor(head);
    if (chosen !== output) chosen.on('error', fail).pipe(output);
    chosen.write(head);
  };
  source.on('error', fail);
  source.on('data', (chunk: Buffer) => {
    if (chosen) {
      if (!chosen.write(chunk)) {
        source.pause();
        chosen.once('drain', () => source.resume());
      }
      return;
    }
    head = Buffer.concat([head, chunk]);
    if (head.length >= 4) choose();
  });
  source.on('end', () => {
    if (!chosen) choose();
    chosen?.end();
  });
  output.on('close', () => source.destroy());

  function decoderFor(bytes: Buffer): Transform {
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) return createGunzip();
    if (bytes.length >= 4 && bytes.readUInt32LE(0) === 0xfd2fb528) return createZstdDecompress();
    return output;
  }
  return output;
}
