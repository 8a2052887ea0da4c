/** The image's name with its registry in front, as pull secrets and providers mean it. */
export function withHost(image: string): string {
  const [first = ''] = image.split('/');
  const hasHost = image.includes('/') && (first.includes('.') || first.includes(':') || first === 'localhost');
  return hasHost ? image : `docker.io/${image.includes('/') ? image : `library/${image}`}`;
}

/** Whether credentials are for an image: `registry.example.com`, `*.example.com/team`, `https://index.docker.io/v1/` */
export function isForImage(registry: string, image: string): boolean {
  const [host = '', ...path] = registry
    .replace(/^https?:\/\//, '')
    .replace(/\/v[12]\/?$/, '')
    .split('/');
  const [imageHost = '', ...imagePath] = image.split('/');
  const name = host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host;
  const [labels, imageLabels] = [name.split('.'), imageHost.split('.')];
  const isHost =
    labels.length === imageLabels.length && labels.every((label, at) => label === '*' || label === imageLabels[at]);
  const prefix = path.filter(Boolean);
  return isHost && prefix.every((step, at) => step === imagePath[at]);
}
