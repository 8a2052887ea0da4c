export interface KubeconfigOptions {
  readonly server: string;
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
  /** Names the cluster and the context. */
  readonly name: string;
  /** Default: `<name>-admin`. */
  readonly user?: string;
}

/** A kubeconfig with one cluster, one user with a client certificate, and the context of both. */
export function kubeconfigFor({
  server,
  caPem,
  certPem,
  keyPem,
  name,
  user = `${name}-admin`,
}: KubeconfigOptions): string {
  // JSON strings are YAML strings.
  const text = (value: string) => JSON.stringify(value);
  const encoded = (pem: string) => Buffer.from(pem).toString('base64');
  return `apiVersion: v1
kind: Config
clusters:
- name: ${text(name)}
  cluster:
    server: ${text(server)}
    certificate-authority-data: ${encoded(caPem)}
users:
- name: ${text(user)}
  user:
    client-certificate-data: ${encoded(certPem)}
    client-key-data: ${encoded(keyPem)}
contexts:
- name: ${text(name)}
  context:
    cluster: ${text(name)}
    user: ${text(user)}
current-context: ${text(name)}
preferences: {}
`;
}
