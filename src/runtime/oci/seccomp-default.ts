import type { SeccompProfile } from './seccomp.ts';

const words = (text: string) => text.trim().split(/\s+/);
const allow = 'SCMP_ACT_ALLOW';
const refuse = 'SCMP_ACT_ERRNO';
const EPERM = 1;
const ENOSYS = 38;

/**
 * RuntimeDefault: what programs need, and nothing that administers the machine unless the container has the capability
 * for it. Anything not named answers ENOSYS, as an older kernel would, so that C libraries take their fallback; what is
 * known and refused answers EPERM.
 */
export const defaultSeccompProfile: SeccompProfile = {
  defaultAction: refuse,
  defaultErrnoRet: ENOSYS,
  syscalls: [
    {
      // Files and directories.
      names: words(`
        access cachestat chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
        faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32
        fchownat fcntl fcntl64 fdatasync fgetxattr file_getattr file_setattr flistxattr flock fremovexattr fsetxattr
        fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64
        getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lchown32
        lgetxattr link linkat listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat
        lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat _newselect open openat openat2 pread64 preadv
        preadv2 pwrite64 pwritev pwritev2 quotactl_fd read readahead readdir readlink readlinkat readv removexattr
        removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64
        statfs statfs64 statmount statx symlink symlinkat sync sync_file_range sync_file_range2 syncfs tee truncate
        truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev
      `),
      action: allow,
    },
    {
      // Waiting and events.
      names: words(`
        alarm clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64
        epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
        eventfd2 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake getitimer gettimeofday io_cancel
        io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit nanosleep pause pipe pipe2 poll
        ppoll ppoll_time64 pselect6 pselect6_time64 restart_syscall select setitimer signalfd signalfd4 time
        timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
        timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times adjtimex
        clock_adjtime clock_adjtime64
      `),
      action: allow,
    },
    {
      // Memory.
      names: words(`
        brk get_mempolicy_home_node madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
        mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
        process_mrelease remap_file_pages
      `),
      action: allow,
    },
    {
      // Processes, threads, signals and identity.
      names: words(`
        arch_prctl breakpoint cacheflush capget capset execve execveat exit exit_group fork get_robust_list
        get_thread_area getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid
        getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage
        getsid gettid getuid getuid32 ioprio_get ioprio_set kill modify_ldt pidfd_open pidfd_send_signal prctl
        prlimit64 rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
        rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo riscv_flush_icache riscv_hwprobe sched_get_priority_max
        sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
        sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
        sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address set_tls setfsgid
        setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32
        setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 sgetmask
        sigaction sigaltstack signal sigpending sigprocmask sigreturn sigsuspend ssetmask sysinfo tgkill tkill ugetrlimit
        uname vfork wait4 waitid waitpid landlock_add_rule landlock_create_ruleset landlock_restrict_self
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr uretprobe
      `),
      action: allow,
    },
    {
      // Sockets and System V IPC.
      names: words(`
        accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open
        mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd
        recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg
        sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair
      `),
      action: allow,
    },
    // A virtual machine socket reaches the hypervisor, whatever namespace the container is in.
    { names: ['socket'], action: allow, args: [{ index: 0, value: 40, op: 'SCMP_CMP_NE' }] },
    { names: ['socket'], action: refuse, errnoRet: EPERM, args: [{ index: 0, value: 40, op: 'SCMP_CMP_EQ' }] },
    ...[0x0, 0x0008, 0x20000, 0x20008, 0xffffffff].map(persona => ({
      names: ['personality'],
      action: allow,
      args: [{ index: 0, value: persona, op: 'SCMP_CMP_EQ' }],
    })),
    {
      // A thread or a process, but no new namespace (the CLONE_NEW… bits).
      names: ['clone'],
      action: allow,
      args: [{ index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
      excludes: { caps: ['CAP_SYS_ADMIN'], arches: ['s390', 's390x'] },
    },
    // Its flags are behind a pointer, which a filter cannot read; C libraries fall back to clone.
    { names: ['clone3'], action: refuse, errnoRet: ENOSYS, excludes: { caps: ['CAP_SYS_ADMIN'] } },
    {
      names: words(`
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
        open_tree perf_event_open quotactl setdomainname sethostname setns syslog umount umount2 unshare
      `),
      action: allow,
      includes: { caps: ['CAP_SYS_ADMIN'] },
    },
    {
      names: words(`
        fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree quotactl
        setdomainname sethostname setns umount umount2 unshare
      `),
      action: refuse,
      errnoRet: EPERM,
      excludes: { caps: ['CAP_SYS_ADMIN'] },
    },
    ...forCapability('CAP_DAC_READ_SEARCH', 'open_by_handle_at'),
    ...forCapability('CAP_SYS_BOOT', 'reboot'),
    ...forCapability('CAP_SYS_CHROOT', 'chroot'),
    ...forCapability('CAP_SYS_MODULE', 'delete_module finit_module init_module query_module'),
    ...forCapability('CAP_SYS_PACCT', 'acct'),
    ...forCapability('CAP_SYS_PTRACE', 'kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace'),
    ...forCapability('CAP_SYS_RAWIO', 'ioperm iopl'),
    ...forCapability('CAP_SYS_TIME', 'clock_settime clock_settime64 settimeofday stime'),
    ...forCapability('CAP_SYS_TTY_CONFIG', 'vhangup'),
    ...forCapability(
      'CAP_SYS_NICE',
      'get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node',
    ),
    { names: ['syslog'], action: allow, includes: { caps: ['CAP_SYSLOG'] }, excludes: { caps: ['CAP_SYS_ADMIN'] } },
    { names: ['syslog'], action: refuse, errnoRet: EPERM, excludes: { caps: ['CAP_SYSLOG', 'CAP_SYS_ADMIN'] } },
    { names: ['bpf'], action: allow, includes: { caps: ['CAP_BPF'] }, excludes: { caps: ['CAP_SYS_ADMIN'] } },
    { names: ['bpf'], action: refuse, errnoRet: EPERM, excludes: { caps: ['CAP_BPF', 'CAP_SYS_ADMIN'] } },
    {
      names: ['perf_event_open'],
      action: allow,
      includes: { caps: ['CAP_PERFMON'] },
      excludes: { caps: ['CAP_SYS_ADMIN'] },
    },
    {
      names: ['perf_event_open'],
      action: refuse,
      errnoRet: EPERM,
      excludes: { caps: ['CAP_PERFMON', 'CAP_SYS_ADMIN'] },
    },
    {
      // Never, whatever the capabilities: keys are not namespaced, and io_uring and userfaultfd are kernel attack surface.
      names: words(`
        add_key create_module get_kernel_syms io_uring_enter io_uring_register io_uring_setup kexec_file_load kexec_load
        keyctl nfsservctl pivot_root request_key swapoff swapon sysfs _sysctl uselib userfaultfd ustat vm86 vm86old
      `),
      action: refuse,
      errnoRet: EPERM,
    },
  ],
};

function forCapability(capability: string, names: string) {
  return [
    { names: words(names), action: allow, includes: { caps: [capability] } },
    { names: words(names), action: refuse, errnoRet: EPERM, excludes: { caps: [capability] } },
  ];
}
