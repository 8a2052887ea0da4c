/** What a scenario asks of a container. */
export interface ContainerWish {
  /** For a shell, instead of the image's own command. */
  readonly script?: string;
  /** Ready when this path answers at port 80. */
  readonly readyPath?: string;
}

export function container(image: string, { script, readyPath }: ContainerWish = {}): object {
  return {
    name: 'main',
    image,
    ...(script !== undefined && { command: ['sh', '-c', script] }),
    ...(readyPath !== undefined && { readinessProbe: { httpGet: { path: readyPath, port: 80 }, periodSeconds: 1 } }),
  };
}

/** Wishes of a Pod beside its container, such as `nodeName`. */
type PodWishes = Readonly<Record<string, unknown>>;

export function pod(name: string, main: object, wishes: PodWishes = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { app: name } },
    spec: { containers: [main], terminationGracePeriodSeconds: 1, ...wishes },
  };
}

export function deployment(name: string, replicas: number, main: object): object {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'default' },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [main], terminationGracePeriodSeconds: 1 },
      },
    },
  };
}

/** Port 80 of the pods with the label `app: NAME`. */
export function service(name: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: { selector: { app: name }, ports: [{ port: 80 }] },
  };
}
