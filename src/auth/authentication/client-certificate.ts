import { errors } from '#api/machinery/errors.ts';
import type { Authenticator } from './authenticator.ts';

const clientAuthUsage = '1.3.6.1.5.5.7.3.2';
/** Kubernetes' own object identifier for a user's uid in a subject. */
const uidIdentifier = '1.3.6.1.4.1.57683.2';

/** The subject of a verified client certificate: the common name is the user, the organizations are the groups. */
export const clientCertificateAuthenticator: Authenticator = {
  name: 'x509',
  authenticate({ clientCertificate }) {
    if (!clientCertificate?.subject) return undefined;
    const subject = clientCertificate.subject as unknown as Readonly<
      Record<string, string | readonly string[] | undefined>
    >;
    const usages = clientCertificate.ext_key_usage;
    // A server's certificate of the same authority is nobody's identity.
    if (usages && !usages.includes(clientAuthUsage)) throw errors.unauthorized();
    // With several common names the last one counts, as in Go.
    const name = [subject['CN'] ?? ''].flat().at(-1) ?? '';
    if (name === '') throw errors.unauthorized();
    const uid = [subject[uidIdentifier] ?? ''].flat().at(-1) ?? '';
    return {
      name,
      groups: [subject['O'] ?? []].flat(),
      ...(uid !== '' && { uid }),
      extra: {
        'authentication.kubernetes.io/credential-id': [
          `X509SHA256=${clientCertificate.fingerprint256.replaceAll(':', '').toLowerCase()}`,
        ],
      },
    };
  },
};
