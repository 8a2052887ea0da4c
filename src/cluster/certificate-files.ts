import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { certificatesOf } from '#auth/certificates/certificate.ts';
import type { DataDir } from './data-dir.ts';

/** A certificate of the data directory, by its file's name. */
export interface CertificateFile {
  readonly name: string;
  readonly subject: string;
  readonly issuer: string;
  readonly validFromMs: number;
  readonly expiresMs: number;
  readonly isAuthority: boolean;
}

/** Those that can be read, by name. */
export function certificateFiles(dir: DataDir): readonly CertificateFile[] {
  if (!existsSync(dir.pki)) return [];
  return readdirSync(dir.pki)
    .filter(file => file.endsWith('.crt'))
    .map(file => file.slice(0, -'.crt'.length))
    .sort()
    .flatMap(file => {
      const [certificate] = certificatesOf(readFileSync(join(dir.pki, `${file}.crt`), 'utf8'));
      if (!certificate) return [];
      return [
        {
          name: decodeURIComponent(file),
          subject: oneLine(certificate.subject),
          issuer: oneLine(certificate.issuer),
          validFromMs: Date.parse(certificate.validFrom),
          expiresMs: Date.parse(certificate.validTo),
          isAuthority: certificate.ca,
        },
      ];
    });
}

const dayMs = 86_400_000;

/** A sentence when the machine's clock cannot be right: the cluster's certificates were made after what it shows. */
export function clockProblem(dir: DataDir, nowMs: number): string | undefined {
  const newest = Math.max(...certificateFiles(dir).map(({ validFromMs }) => validFromMs));
  if (!(newest > nowMs + dayMs)) return undefined;
  const day = (atMs: number) => new Date(atMs).toISOString().slice(0, 10);
  return `the clock of this machine says ${day(nowMs)}, but certificates of this cluster were made on ${day(newest)}: set the clock if it is wrong. They are made anew for the time it shows.`;
}

function oneLine(name: string | undefined): string {
  return (name ?? '').split('\n').join(',');
}
