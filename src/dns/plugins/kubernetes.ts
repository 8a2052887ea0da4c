import {
  answersIn,
  encodeRecord,
  failure,
  nameRecord,
  questionOf,
  readName,
  recordType,
  responseCode,
  type Answer,
  type Record,
} from '../message.ts';
import { then, type Client, type Handler, type Plugin } from '../plugin.ts';
import type { ClusterRecords, Found } from '../records.ts';

/** An ExternalName may name another one; so far and no further. */
const aliasesMax = 8;

/** Answers the cluster's own names; all others go on. */
export const kubernetes: Plugin = (next, { records }) => {
  return (query, client) => {
    const found = records.lookup(query.name, query.type);
    if (!found) return next(query, client);
    // Before all is known nothing may be denied.
    if (!records.hasSynced) return failure(responseCode.SERVFAIL);
    if (query.type === recordType.AXFR) return failure(responseCode.REFUSED);
    if (found.kind !== 'alias') return answerOf(found, records);
    return then(follow(found.target, query.type, records, next, client, aliasesMax), behind =>
      answer([found.alias, ...behind], []),
    );
  };
};

function answerOf(found: Exclude<Found, { kind: 'alias' }>, records: ClusterRecords): Answer {
  switch (found.kind) {
    case 'answer':
      return answer(found.answers, found.additional);
    case 'nodata':
      return denial(responseCode.NOERROR, records);
    case 'nxdomain':
      return denial(responseCode.NXDOMAIN, records);
  }
}

function answer(answers: readonly Record[], additional: readonly Record[]): Answer {
  return { kind: 'records', code: responseCode.NOERROR, authoritative: true, answers, authority: [], additional };
}

function denial(code: number, records: ClusterRecords): Answer {
  return { kind: 'records', code, authoritative: true, answers: [], authority: [records.authority], additional: [] };
}

/** The records that an alias' target has: the cluster's, or those of the world outside. */
function follow(
  target: string,
  type: number,
  records: ClusterRecords,
  next: Handler,
  client: Client,
  left: number,
): readonly Record[] | Promise<readonly Record[]> {
  if (left === 0 || (type !== recordType.A && type !== recordType.AAAA)) return [];
  const found = records.lookup(target, type);
  if (!found) return then(next(questionOf(target, type), client), behind => recordsOf(behind, target));
  if (found.kind === 'answer') return found.answers.map(record => ownedBy(target, record));
  if (found.kind !== 'alias') return [];
  return then(follow(found.target, type, records, next, client, left - 1), behind => [
    ownedBy(target, found.alias),
    ...behind,
  ]);
}

/** The same record, for a name that is not the question's. */
function ownedBy(owner: string, { type, wire }: Record): Record {
  const pointerBytes = 2;
  return encodeRecord(type, wire.readUInt32BE(pointerBytes + 4), wire.subarray(pointerBytes + 10), owner);
}

/** Addresses and aliases of a forwarded answer, with their names written out: they move to another message. */
function recordsOf(behind: Answer, target: string): readonly Record[] {
  if (behind.kind === 'records') return behind.answers.map(record => ownedBy(target, record));
  const { message } = behind;
  const records: Record[] = [];
  for (const { type, ttlSeconds, nameOffset, dataOffset, dataBytes } of answersIn(message)) {
    const owner = readName(message, nameOffset);
    if (owner === undefined) continue;
    if (type === recordType.A || type === recordType.AAAA)
      records.push(encodeRecord(type, ttlSeconds, message.subarray(dataOffset, dataOffset + dataBytes), owner));
    else if (type === recordType.CNAME) {
      const alias = readName(message, dataOffset);
      if (alias !== undefined) records.push(nameRecord(recordType.CNAME, alias, ttlSeconds, owner));
    }
  }
  return records;
}
