import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { CertifiedKey } from './certificate.ts';
import type { Pki } from './pki.ts';

/** How often the files are looked at: somebody may have renewed them by hand. */
const lookEveryMs = 30_000;

/** Renews certificates while the cluster runs, and tells which ones are new, whoever renewed them. */
export function keepCertificates(
  pki: Pki,
  changed: (files: readonly string[]) => Promise<void> | void,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Disposable {
  let stopped = false;
  const look = async () => {
    try {
      const reloaded = await pki.reload();
      const renewed = pki.nextRenewalMs <= clock.now() ? await pki.renew() : [];
      const files = [...new Set([...reloaded, ...renewed])];
      if (files.length > 0) {
        await changed(files);
        log.info('renewed certificates are in use', { files });
      }
    } catch (error) {
      log.error('cannot renew certificates; the present ones go on', { error });
    }
    if (!stopped) cancel = clock.after(lookEveryMs, () => void look());
  };
  let cancel = clock.after(lookEveryMs, () => void look());
  return {
    [Symbol.dispose]() {
      stopped = true;
      cancel();
    },
  };
}

/** Tells of a pair of files that has become another one: a whole one, whose key fits. */
export function followPair(
  directory: string,
  file: string,
  changed: (pair: CertifiedKey) => void,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Disposable {
  let stopped = false;
  let known = pairIn(directory, file)?.certPem;
  const look = () => {
    try {
      const pair = pairIn(directory, file);
      if (
        pair &&
        pair.certPem !== known &&
        new X509Certificate(pair.certPem).checkPrivateKey(createPrivateKey(pair.keyPem))
      ) {
        known = pair.certPem;
        changed(pair);
        log.info('a renewed certificate is in use', { file });
      }
    } catch (error) {
      log.error('cannot use a renewed certificate; the present one goes on', { file, error });
    }
    if (!stopped) cancel = clock.after(lookEveryMs, look);
  };
  let cancel = clock.after(lookEveryMs, look);
  return {
    [Symbol.dispose]() {
      stopped = true;
      cancel();
    },
  };
}

function pairIn(directory: string, file: string): CertifiedKey | undefined {
  const [certFile, keyFile] = [join(directory, `${file}.crt`), join(directory, `${file}.key`)];
  if (!existsSync(certFile) || !existsSync(keyFile)) return undefined;
  return { certPem: readFileSync(certFile, 'utf8'), keyPem: readFileSync(keyFile, 'utf8') };
}
