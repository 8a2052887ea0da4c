import { readFileSync } from 'node:fs';
import { outgoingTo, type Endpoint, type Outgoing } from '#auth/outgoing.ts';
import type { Clock } from '#base/clock.ts';
import type { Lifetime } from '#base/lifetime.ts';
import type { Adviser } from '#scheduler/advisers.ts';
import { extenderAdviser, type ExtenderConfiguration } from '#scheduler/extenders.ts';

/** A list of 5,000 nodes with their images. */
const answerBytesMax = 256 * 1024 * 1024;

/** Extenders over HTTP(S), as the scheduler asks them. Throws a sentence where a certificate cannot be read. */
export function extenderAdvisers(
  extenders: readonly ExtenderConfiguration[],
  { clock, lifetime }: { readonly clock: Clock; readonly lifetime: Lifetime },
): readonly Adviser[] {
  return extenders.map(extender => {
    const { urlPrefix, timeoutMs } = extender;
    const tls = tlsOf(extender);
    const connections = new Map<string, Outgoing>();
    const connectionTo = (verb: string): Outgoing => {
      const known = connections.get(verb);
      if (known) return known;
      const url = `${urlPrefix.replace(/\/+$/, '')}/${verb}`;
      const opened = outgoingTo({ url, ...tls }, { clock, timeoutMs, signal: lifetime.signal, answerBytesMax });
      lifetime.defer(() => opened[Symbol.dispose]());
      connections.set(verb, opened);
      return opened;
    };
    return extenderAdviser(extender, async (verb, body) => {
      const { code, text } = await connectionTo(verb).post(body);
      if (code !== 200)
        throw new Error(`failed ${verb} with extender at URL ${urlPrefix.replace(/\/+$/, '')}/${verb}, code ${code}`);
      return JSON.parse(text) as unknown;
    });
  });
}

function tlsOf({ urlPrefix, tls }: ExtenderConfiguration): Omit<Endpoint, 'url'> {
  const pem = (data: string | undefined, path: string | undefined, what: string) => {
    if (data !== undefined) return Buffer.from(data, 'base64').toString();
    if (path === undefined) return undefined;
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      throw new Error(`cannot read the ${what} of the extender ${urlPrefix}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  };
  const caPem = pem(tls?.caData, tls?.caFile, 'certificate authority');
  return {
    caPem,
    certPem: pem(tls?.certData, tls?.certFile, 'certificate'),
    keyPem: pem(tls?.keyData, tls?.keyFile, 'key'),
    tlsServerName: tls?.serverName,
    // Upstream asks for no certificate that it has nothing to hold against.
    insecureSkipTlsVerify: tls?.insecure === true || caPem === undefined,
  };
}
