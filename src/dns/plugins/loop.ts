import { argCount, only } from '../corefile.ts';
import { failure, questionOf, recordType, responseCode } from '../message.ts';
import type { Plugin } from '../plugin.ts';

/** The probe waits until the server listens. */
const probeAfterMs = 1_000;

/**
 * `loop`: finds out whether what we forward comes back to us (a resolv.conf that leads here by some way): sends one question
 * that nobody else asks. When it comes back nothing is forwarded any more, instead of each query going round for ever.
 */
export const loop: Plugin = (directives, { zones }) => {
  argCount(only(directives), 0);
  const [zone = ''] = zones;
  return (next, { clock, random, log, lifetime }) => {
    const word = () => Buffer.from(random.bytes(8)).toString('hex');
    const probe = `${word()}.${word()}${zone === '' ? '' : `.${zone}`}`;
    let looping = false;
    lifetime.defer(
      clock.after(probeAfterMs, () => {
        // What it is answered does not matter, nor whether.
        void Promise.resolve(next(questionOf(probe, recordType.HINFO), { transport: 'udp', address: 'probe' })).catch(
          () => undefined,
        );
      }),
    );
    return (query, client) => {
      if (query.name === probe && !looping) {
        looping = true;
        log.error('upstream servers lead back to this one: nothing is forwarded any more', { zone: `${zone}.` });
      }
      return looping ? failure(responseCode.SERVFAIL) : next(query, client);
    };
  };
};
