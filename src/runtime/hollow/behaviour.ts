import type { ContainerConfig, PodSandboxConfig } from '../runtime.ts';

/** What a pretended container does, as data. */
export interface Behaviour {
  /** Between `startContainer` and the container running. */
  readonly startDelayMs: number;
  /** How long it runs by itself; `undefined`: until it is stopped. */
  readonly runMs: number | undefined;
  /** What it ends with by itself. */
  readonly exitCode: number;
  /** Between the stop signal and its end; longer than the grace period means that it is killed. */
  readonly stopDelayMs: number;
  /** What every command run in it ends with: 0 lets exec probes pass. */
  readonly execExitCode: number;
  /** Refuses to start when not empty. */
  readonly startError: string;
}

/** For containers whose image begins with `image` (all when absent); later rules overrule earlier ones. */
export interface BehaviourRule {
  readonly image?: string;
  readonly behaviour: Partial<Behaviour>;
}

const steady: Behaviour = {
  startDelayMs: 0,
  runMs: undefined,
  exitCode: 0,
  stopDelayMs: 0,
  execExitCode: 0,
  startError: '',
};

/** Annotations of the pod that overrule the rules: `hollow.windlass.dev/exit-code: "3"`. */
const annotationPrefix = 'hollow.windlass.dev/';

/** Rules first, then the pod's annotations, then the container's. */
export function behaviourOf(
  rules: readonly BehaviourRule[],
  config: ContainerConfig,
  sandbox: PodSandboxConfig,
): Behaviour {
  const image = config.image.userSpecifiedImage ?? config.image.image;
  const fitting = rules.filter(rule => image.startsWith(rule.image ?? '')).map(rule => rule.behaviour);
  return Object.assign(
    {},
    steady,
    ...fitting,
    annotated(sandbox.annotations),
    annotated(config.annotations),
  ) as Behaviour;
}

const numbers = {
  'start-delay-ms': 'startDelayMs',
  'run-ms': 'runMs',
  'exit-code': 'exitCode',
  'stop-delay-ms': 'stopDelayMs',
  'exec-exit-code': 'execExitCode',
} as const;

function annotated(annotations: Readonly<Record<string, string>> = {}): Partial<Behaviour> {
  const found: Record<string, number | string> = {};
  for (const [name, field] of Object.entries(numbers)) {
    const text = annotations[annotationPrefix + name];
    if (text !== undefined && Number.isFinite(Number(text))) found[field] = Number(text);
  }
  const startError = annotations[`${annotationPrefix}start-error`];
  return startError === undefined ? found : { ...found, startError };
}
