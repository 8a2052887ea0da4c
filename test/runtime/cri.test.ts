import { runtimeSuite } from '#runtime/suite.ts';
import type { Runtime } from '#runtime/runtime.ts';
import { cannotRunContainerd, startContainerd } from './containerd.ts';

const skip = await cannotRunContainerd();

runtimeSuite(
  'cri',
  async () => {
    const containerd = await startContainerd();
    return {
      runtime: asTheSuiteWants(containerd.runtime),
      image: 'docker.io/library/client:latest',
      endsWith3: { command: ['sh', '-c', 'exit 3'] },
      logDirectory: containerd.logDirectory,
      [Symbol.asyncDispose]: () => containerd[Symbol.asyncDispose](),
    };
  },
  skip,
);

/**
 * The suite makes two containers of one name in a pod, which containerd forbids, and looks at some rejections only
 * after others have come.
 */
function asTheSuiteWants(runtime: Runtime): Runtime {
  let attempt = 0;
  return new Proxy(runtime, {
    get(target, name: keyof Runtime) {
      const verb = target[name] as (...given: unknown[]) => unknown;
      if (name === 'createContainer')
        return ((pod, config, ...rest) =>
          target.createContainer(
            pod,
            { ...config, metadata: { ...config.metadata, attempt: attempt++ } },
            ...rest,
          )) satisfies Runtime['createContainer'];
      return (...given: unknown[]) => {
        const answer = verb.apply(target, given);
        if (answer instanceof Promise) answer.catch(() => undefined);
        return answer;
      };
    },
  });
}
