import assert from 'node:assert/strict';
import { conformance } from '../conformance.ts';
import { createPod, finishedPod, outputOf } from '../pods.ts';
import { refusal } from '../waiting.ts';

conformance(it => {
  it('[sig-node] Security Context When creating a container with runAsUser should run the container with uid 65534 [LinuxOnly] [Conformance] [NodeConformance]', async t => {
    assert.equal(
      await outputOf(t, { script: 'id -u', container: { securityContext: { runAsUser: 65_534 } } }),
      '65534\n',
    );
  });

  it('[sig-node] Security Context When creating a pod with privileged should run the container as unprivileged when false [LinuxOnly] [Conformance] [NodeConformance]', async t => {
    const { log } = await finishedPod(t, {
      script: 'ip link add dummy0 type dummy || true',
      container: { securityContext: { privileged: false } },
    });
    assert.match(log, /Operation not permitted/);
  });

  it('[sig-node] Security Context When creating a pod with readOnlyRootFilesystem should run the container with writable rootfs when readOnlyRootFilesystem=false [Conformance] [NodeConformance]', async t => {
    assert.equal(
      await outputOf(t, {
        script: 'touch /checkfile && echo written',
        container: { securityContext: { readOnlyRootFilesystem: false } },
      }),
      'written\n',
    );
  });

  it('[sig-node] Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege escalation when false [LinuxOnly] [Conformance] [NodeConformance]', async t => {
    const script = 'grep NoNewPrivs /proc/self/status';
    const securityContext = (allowPrivilegeEscalation: boolean) => ({
      container: { securityContext: { runAsUser: 1000, allowPrivilegeEscalation } },
    });
    assert.match(await outputOf(t, { script, ...securityContext(false) }), /NoNewPrivs:\s+1/);
    assert.match(await outputOf(t, { script, ...securityContext(true) }), /NoNewPrivs:\s+0/);
  });

  it('[sig-node] Security Context should support pod.Spec.SecurityContext.RunAsUser And pod.Spec.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]', async t => {
    assert.match(
      await outputOf(t, { script: 'id', securityContext: { runAsUser: 1001, runAsGroup: 2002 } }),
      /uid=1001 gid=2002/,
    );
  });

  it('[sig-node] Security Context should support container.SecurityContext.RunAsUser And container.SecurityContext.RunAsGroup [LinuxOnly] [Conformance]', async t => {
    const wish = {
      script: 'id',
      securityContext: { runAsUser: 1000 },
      container: { securityContext: { runAsUser: 1001, runAsGroup: 2002 } },
    };
    assert.match(await outputOf(t, wish), /uid=1001 gid=2002/);
  });

  it('[sig-node] Sysctls [LinuxOnly] should support sysctls [Environment:NotInUserNS] [Conformance] [NodeConformance]', async t => {
    const sysctls = [{ name: 'kernel.shm_rmid_forced', value: '1' }];
    assert.equal(
      await outputOf(t, { script: 'sysctl kernel.shm_rmid_forced', securityContext: { sysctls } }),
      'kernel.shm_rmid_forced = 1\n',
    );
  });

  it('[sig-node] Sysctls [LinuxOnly] should reject invalid sysctls [Conformance] [NodeConformance]', async t => {
    const names = ['foo-', 'kernel.shmmax', 'safe-and-unsafe', 'bar..', '100'];
    const status = await refusal(
      createPod(t, { securityContext: { sysctls: names.map((name, index) => ({ name, value: String(index) })) } }),
    );
    assert.equal(status.code, 422);
    for (const index of [0, 3])
      assert.match(
        status.message ?? '',
        new RegExp(`spec.securityContext.sysctls\\[${index}\\].name: Invalid value: "${names[index]}"`),
      );
    assert.doesNotMatch(status.message ?? '', /kernel.shmmax"/);
  });
});
