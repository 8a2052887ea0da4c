/** What a PKCS #10 request (PEM) asks for; undefined when it is no request. */
export async function subjectOfRequest(
  pem: string,
): Promise<{ readonly commonName: string; readonly organizations: readonly string[] } | undefined> {
  // The parser takes a tenth of a second to load, and most servers never see a request.
  await import('reflect-metadata');
  const { Pkcs10CertificateRequest } = await import('@peculiar/x509');
  try {
    const { subjectName } = new Pkcs10CertificateRequest(pem);
    return { commonName: subjectName.getField('CN').at(-1) ?? '', organizations: subjectName.getField('O') };
  } catch {
    // Whatever the parser trips over: the caller refuses it in the API's words.
    return undefined;
  }
}
