import { createHash } from 'node:crypto';

/**
 * The queues that the requests of one flow may wait in: a hand dealt from the deck of queues by the hash of the flow, so
 * that a flow which fills its queues leaves others at least one of theirs.
 */
export function dealHand(
  schemaName: string,
  distinguisher: string,
  queues: number,
  handSize: number,
): readonly number[] {
  let hash = flowHash(schemaName, distinguisher);
  const remainders: number[] = [];
  for (let index = 0; index < handSize; index++) {
    const left = BigInt(queues - index);
    remainders.push(Number(hash % left));
    hash /= left;
  }
  const hand: number[] = [];
  for (let index = 0; index < handSize; index++) {
    // A remainder counts the cards that are still in the deck.
    let card = remainders[index] as number;
    for (let earlier = index - 1; earlier >= 0; earlier--) if (card >= (remainders[earlier] as number)) card++;
    hand.push(card);
  }
  return hand;
}

/** 64 bits of what the flow is called. */
function flowHash(schemaName: string, distinguisher: string): bigint {
  return createHash('sha256').update(`${schemaName}\0${distinguisher}`).digest().readBigUInt64LE(0);
}
