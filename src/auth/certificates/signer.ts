import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import type { CertifiedKey } from './certificate.ts';
import { issueForRequest, type Issuing } from './issue.ts';

/** What a PKCS #10 request asks for. */
export interface RequestedNames {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly hosts: readonly string[];
  readonly ips: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
  /** Names that no certificate of ours has. */
  readonly otherNames: readonly string[];
}

const backdatedMs = 5 * 60_000;
const shortMs = 8 * 60 * 60_000;

/** The cluster's authority for whoever judges requests: it says what they ask for, and signs exactly that. */
export function certificateSigner(authority: CertifiedKey, issuing: Issuing) {
  return {
    async describe(requestPem: string): Promise<RequestedNames | undefined> {
      return namesIn(requestPem);
    },
    async sign(requestPem: string, usages: readonly string[], validForMs: number): Promise<string> {
      const names = namesIn(requestPem);
      if (!names) throw new Error('cannot sign a certificate: the request is no PKCS #10 request');
      // Upstream's: short lives are as long as asked for, of longer ones the time before now is a part.
      const lastsMs = validForMs < shortMs ? validForMs : validForMs - backdatedMs;
      return issueForRequest(authority, requestPem, { ...names, usages, validForMs: lastsMs, backdatedMs }, issuing);
    },
  };
}

function namesIn(requestPem: string): RequestedNames | undefined {
  let request: x509.Pkcs10CertificateRequest;
  try {
    request = new x509.Pkcs10CertificateRequest(requestPem);
  } catch {
    // Whatever the parser trips over: the caller refuses it in the API's words.
    return undefined;
  }
  const alternatives = request.extensions
    .filter(extension => extension instanceof x509.SubjectAlternativeNameExtension)
    .flatMap(({ names }) => names.items);
  const ofType = (type: string) => alternatives.filter(each => each.type === type).map(({ value }) => value);
  return {
    commonName: request.subjectName.getField('CN').at(-1) ?? '',
    organizations: request.subjectName.getField('O'),
    hosts: ofType('dns'),
    ips: ofType('ip'),
    emails: ofType('email'),
    uris: ofType('url'),
    otherNames: alternatives
      .filter(({ type }) => !['dns', 'ip', 'email', 'url'].includes(type))
      .map(({ value }) => value),
  };
}
