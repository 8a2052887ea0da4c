import { createPublicKey, type KeyObject } from 'node:crypto';

/** What a PKCS #10 request (PEM) asks for; undefined when it is no request. */
export async function subjectOfRequest(
  pem: string,
): Promise<{ readonly commonName: string; readonly organizations: readonly string[] } | undefined> {
  const request = await parsedRequest(pem);
  if (!request) return undefined;
  const { subjectName } = request;
  return { commonName: subjectName.getField('CN').at(-1) ?? '', organizations: subjectName.getField('O') };
}

/** The key of a request that is signed by it; undefined when it is not. */
export async function publicKeyOfRequest(pem: string): Promise<KeyObject | undefined> {
  const request = await parsedRequest(pem);
  if (!request || !(await request.verify())) return undefined;
  return createPublicKey({ key: Buffer.from(request.publicKey.rawData), format: 'der', type: 'spki' });
}

async function parsedRequest(pem: string) {
  // The parser takes a tenth of a second to load, and most servers never see a request.
  await import('reflect-metadata');
  const { Pkcs10CertificateRequest } = await import('@peculiar/x509');
  try {
    return new Pkcs10CertificateRequest(pem);
  } catch {
    // Whatever the parser trips over: the caller refuses it in the API's words.
    return undefined;
  }
}
