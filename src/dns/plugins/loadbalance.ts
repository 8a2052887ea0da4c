import { argCount, only, wrong } from '../corefile.ts';
import { recordType, type Record } from '../message.ts';
import { then, type Plugin } from '../plugin.ts';

/** `loadbalance [round_robin]`: lets the addresses of an answer take turns at its head, for clients take the first. */
export const loadbalance: Plugin = directives => {
  const directive = only(directives);
  argCount(directive, 0, 1);
  const policy = directive.args[0] ?? 'round_robin';
  if (policy !== 'round_robin') throw wrong(directive, `the policy ${JSON.stringify(policy)} is not served`);
  return (next, { random }) =>
    (query, client) =>
      then(next(query, client), answer => {
        if (answer.kind !== 'records' || answer.answers.length < 2) return answer;
        const head = answer.answers.findIndex(isAddress);
        const addresses = head < 0 ? [] : answer.answers.slice(head);
        if (addresses.length < 2 || !addresses.every(isAddress)) return answer;
        const turn = Math.floor(random.next() * addresses.length);
        const answers = [...answer.answers.slice(0, head), ...addresses.slice(turn), ...addresses.slice(0, turn)];
        return { ...answer, answers, lasting: undefined };
      });
};

function isAddress({ type }: Record): boolean {
  return type === recordType.A || type === recordType.AAAA;
}
