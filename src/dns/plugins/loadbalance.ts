import { recordType, type Record } from '../message.ts';
import { then, type Plugin } from '../plugin.ts';

/** Lets the addresses of an answer take turns at its head: clients take the first. */
export const loadbalance: Plugin = (next, { random }) => {
  return (query, client) =>
    then(next(query, client), answer => {
      if (answer.kind !== 'records' || answer.answers.length < 2) return answer;
      const head = answer.answers.findIndex(isAddress);
      const addresses = head < 0 ? [] : answer.answers.slice(head);
      if (addresses.length < 2 || !addresses.every(isAddress)) return answer;
      const turn = Math.floor(random.next() * addresses.length);
      const answers = [...answer.answers.slice(0, head), ...addresses.slice(turn), ...addresses.slice(0, turn)];
      return { ...answer, answers };
    });
};

function isAddress({ type }: Record): boolean {
  return type === recordType.A || type === recordType.AAAA;
}
