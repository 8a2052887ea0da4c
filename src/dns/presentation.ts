import { isIP } from 'node:net';
import { addressRecord, encodeName, encodeRecord, nameRecord, recordType, type Record } from './message.ts';

/** A record as zone files have it: `example.org. 60 IN A 10.0.0.1`. Throws what is wrong with it. */
export function parseRecord(text: string): Record {
  const words = wordsOf(text);
  const [owner = '', ...rest] = words;
  const name = owner.replace(/\.$/, '');
  let ttlSeconds = 3600;
  if (/^\d{1,9}$/.test(rest[0] ?? '')) ttlSeconds = Number(rest.shift());
  if (rest[0] === 'IN') rest.shift();
  if (/^\d{1,9}$/.test(rest[0] ?? '')) ttlSeconds = Number(rest.shift());
  const [type = '', ...data] = rest;
  const plain = (target: string | undefined) => {
    if (target === undefined) throw new Error(`cannot read the record ${JSON.stringify(text)}: it ends too early`);
    return target.replace(/\.$/, '');
  };
  const numbers = (count: number, bytes: 2 | 4) => {
    const buffer = Buffer.alloc(count * bytes);
    for (let index = 0; index < count; index++) {
      const value = Number(data.shift() ?? Number.NaN);
      if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * bytes))
        throw new Error(`cannot read the record ${JSON.stringify(text)}: a number is missing`);
      buffer.writeUIntBE(value, index * bytes, bytes);
    }
    return buffer;
  };
  switch (type) {
    case 'A':
    case 'AAAA': {
      const record = isIP(data[0] ?? '') === 0 ? undefined : addressRecord(data[0] ?? '', ttlSeconds, name);
      if (record?.type !== recordType[type])
        throw new Error(
          `cannot read the record ${JSON.stringify(text)}: ${JSON.stringify(data[0] ?? '')} is no address`,
        );
      return record;
    }
    case 'CNAME':
    case 'NS':
    case 'PTR':
      return nameRecord(recordType[type], plain(data[0]), ttlSeconds, name);
    case 'MX': {
      const fixed = numbers(1, 2);
      return encodeRecord(recordType.MX, ttlSeconds, Buffer.concat([fixed, encodeName(plain(data[0]))]), name);
    }
    case 'SRV': {
      const fixed = numbers(3, 2);
      return encodeRecord(recordType.SRV, ttlSeconds, Buffer.concat([fixed, encodeName(plain(data[0]))]), name);
    }
    case 'SOA': {
      const names = [encodeName(plain(data.shift())), encodeName(plain(data.shift()))];
      return encodeRecord(recordType.SOA, ttlSeconds, Buffer.concat([...names, numbers(5, 4)]), name);
    }
    case 'TXT': {
      if (data.length === 0) throw new Error(`cannot read the record ${JSON.stringify(text)}: it has no text`);
      const parts = data.map(word => Buffer.from(word).subarray(0, 255));
      const bytes = Buffer.concat(parts.flatMap(part => [Buffer.from([part.length]), part]));
      return encodeRecord(recordType.TXT, ttlSeconds, bytes, name);
    }
    default:
      throw new Error(`cannot read the record ${JSON.stringify(text)}: the type ${JSON.stringify(type)} is not served`);
  }
}

function wordsOf(text: string): string[] {
  return Array.from(text.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g), ([, quoted, plain]) =>
    quoted === undefined ? (plain ?? '') : quoted.replaceAll(/\\(.)/g, '$1'),
  );
}
