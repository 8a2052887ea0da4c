import { systemClock } from '#base/clock.ts';
import { certificateFiles, type CertificateFile } from './certificate-files.ts';
import { openClusterPki, writeKubeconfig } from './cluster-pki.ts';
import type { Flags } from './commands.ts';
import { dataDirFrom, livePid, readConfig } from './data-dir.ts';

/** `windlass certs`: what expires when; `windlass certs renew`: new certificates at once, which a running cluster takes over. */
export async function certs(flags: Flags): Promise<number> {
  const dir = dataDirFrom(flags);
  const config = readConfig(dir);
  if (!config)
    throw new Error(`cannot show certificates: there is no cluster in ${dir.path}; start one with \`windlass up\``);
  const [what = 'list'] = flags.words;
  if (what !== 'list' && what !== 'renew')
    throw new Error(
      `cannot do ${JSON.stringify(what)} with certificates; \`certs list\` and \`certs renew\` are there`,
    );
  if (what === 'renew') {
    const pki = await openClusterPki(dir, config, systemClock);
    const renewed = await pki.renew('all');
    writeKubeconfig(dir, config, pki);
    process.stderr.write(
      `windlass: ${renewed.length} certificates are new${livePid(dir, 'supervisor') === undefined ? '' : '; the running cluster takes them over within a minute'}\n`,
    );
  }
  const files = certificateFiles(dir);
  process.stdout.write(flags.text('output') === 'json' ? `${asJson(files)}\n` : asTable(files));
  return 0;
}

function asJson(files: readonly CertificateFile[]): string {
  return JSON.stringify(
    files.map(({ name, subject, issuer, expiresMs, isAuthority }) => ({
      name,
      subject,
      issuer,
      authority: isAuthority,
      expires: new Date(expiresMs).toISOString(),
      daysLeft: daysLeft(expiresMs),
    })),
    null,
    2,
  );
}

function asTable(files: readonly CertificateFile[]): string {
  const rows = [
    ['NAME', 'SUBJECT', 'ISSUER', 'EXPIRES', 'DAYS LEFT'],
    ...files.map(({ name, subject, issuer, expiresMs }) => [
      name,
      subject,
      issuer,
      new Date(expiresMs).toISOString().slice(0, 10),
      String(daysLeft(expiresMs)),
    ]),
  ];
  const widths = [0, 1, 2, 3].map(column => Math.max(...rows.map(row => (row[column] ?? '').length)));
  return rows
    .map(
      row =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('   ')
          .trimEnd()}\n`,
    )
    .join('');
}

function daysLeft(expiresMs: number): number {
  return Math.floor((expiresMs - systemClock.now()) / 86_400_000);
}
