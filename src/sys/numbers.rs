//! The names of system calls by their numbers on this processor: syscall(2), Linux's own tables.

use nix::libc;

macro_rules! numbered {
    ($($name:ident $number:ident),* $(,)?) => { &[$((libc::$number as i64, stringify!($name))),*] };
}

/// Every call that a container runtime has been seen to make, on every processor.
const EVERYWHERE: &[(i64, &str)] = numbered! {
    accept4 SYS_accept4, bind SYS_bind, bpf SYS_bpf, brk SYS_brk, capget SYS_capget,
    capset SYS_capset, chdir SYS_chdir, chroot SYS_chroot, clock_gettime SYS_clock_gettime,
    clone SYS_clone, clone3 SYS_clone3, close SYS_close, close_range SYS_close_range,
    connect SYS_connect, dup SYS_dup, dup3 SYS_dup3, execve SYS_execve, execveat SYS_execveat,
    exit SYS_exit, exit_group SYS_exit_group, faccessat SYS_faccessat, faccessat2 SYS_faccessat2,
    fchdir SYS_fchdir, fchmod SYS_fchmod, fchmodat SYS_fchmodat, fchown SYS_fchown,
    fchownat SYS_fchownat, fcntl SYS_fcntl, flock SYS_flock, fsconfig SYS_fsconfig,
    fsmount SYS_fsmount, fsopen SYS_fsopen, fsync SYS_fsync, fstat SYS_fstat, fstatfs SYS_fstatfs,
    ftruncate SYS_ftruncate, futex SYS_futex, getcwd SYS_getcwd, getdents64 SYS_getdents64,
    getegid SYS_getegid, geteuid SYS_geteuid, getgid SYS_getgid, getgroups SYS_getgroups,
    getpid SYS_getpid, getppid SYS_getppid, getrandom SYS_getrandom, gettid SYS_gettid,
    getuid SYS_getuid, getxattr SYS_getxattr, inotify_add_watch SYS_inotify_add_watch,
    inotify_init1 SYS_inotify_init1, ioctl SYS_ioctl, keyctl SYS_keyctl, kill SYS_kill,
    lgetxattr SYS_lgetxattr, linkat SYS_linkat, listen SYS_listen, llistxattr SYS_llistxattr,
    lsetxattr SYS_lsetxattr, lseek SYS_lseek, madvise SYS_madvise,
    mkdirat SYS_mkdirat, mknodat SYS_mknodat, mmap SYS_mmap, mount SYS_mount,
    mount_setattr SYS_mount_setattr, move_mount SYS_move_mount, mprotect SYS_mprotect,
    mremap SYS_mremap, munmap SYS_munmap, newfstatat SYS_newfstatat, open_tree SYS_open_tree,
    openat SYS_openat, openat2 SYS_openat2, pidfd_open SYS_pidfd_open,
    pidfd_send_signal SYS_pidfd_send_signal, pipe2 SYS_pipe2, pivot_root SYS_pivot_root,
    ppoll SYS_ppoll, prctl SYS_prctl, pread64 SYS_pread64, prlimit64 SYS_prlimit64,
    ptrace SYS_ptrace, pwrite64 SYS_pwrite64, read SYS_read, readlinkat SYS_readlinkat,
    recvmsg SYS_recvmsg, renameat2 SYS_renameat2, restart_syscall SYS_restart_syscall,
    rseq SYS_rseq, rt_sigaction SYS_rt_sigaction, rt_sigpending SYS_rt_sigpending,
    rt_sigprocmask SYS_rt_sigprocmask,
    rt_sigreturn SYS_rt_sigreturn, sched_getaffinity SYS_sched_getaffinity,
    sched_yield SYS_sched_yield, seccomp SYS_seccomp, sendfile SYS_sendfile,
    sendmsg SYS_sendmsg, sendto SYS_sendto,
    set_robust_list SYS_set_robust_list, set_tid_address SYS_set_tid_address,
    setdomainname SYS_setdomainname, setgid SYS_setgid, setgroups SYS_setgroups,
    sethostname SYS_sethostname, setns SYS_setns, setpgid SYS_setpgid, setresgid SYS_setresgid,
    setresuid SYS_setresuid, setsid SYS_setsid, setuid SYS_setuid, sigaltstack SYS_sigaltstack,
    signalfd4 SYS_signalfd4, socket SYS_socket, socketpair SYS_socketpair, statfs SYS_statfs,
    statx SYS_statx, symlinkat SYS_symlinkat, sync SYS_sync, syncfs SYS_syncfs, tgkill SYS_tgkill, tkill SYS_tkill,
    truncate SYS_truncate, umask SYS_umask, umount2 SYS_umount2, uname SYS_uname,
    unlinkat SYS_unlinkat, utimensat SYS_utimensat, unshare SYS_unshare, wait4 SYS_wait4, waitid SYS_waitid,
    write SYS_write, writev SYS_writev,
};

/// Those of before calls took a directory's descriptor, which newer processors do not have.
#[cfg(target_arch = "x86_64")]
const OF_OLD: &[(i64, &str)] = numbered! {
    access SYS_access, arch_prctl SYS_arch_prctl, chmod SYS_chmod, chown SYS_chown,
    creat SYS_creat, dup2 SYS_dup2, fork SYS_fork, lchown SYS_lchown, link SYS_link,
    lstat SYS_lstat, mkdir SYS_mkdir, mknod SYS_mknod, open SYS_open, pipe SYS_pipe,
    poll SYS_poll, readlink SYS_readlink, rename SYS_rename, renameat SYS_renameat,
    rmdir SYS_rmdir, stat SYS_stat, symlink SYS_symlink, unlink SYS_unlink, vfork SYS_vfork,
};
#[cfg(target_arch = "aarch64")]
const OF_OLD: &[(i64, &str)] = numbered! { renameat SYS_renameat };
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const OF_OLD: &[(i64, &str)] = &[];

/// `mount` for its number; None for a call that is in no table here.
pub fn name_of(number: i64) -> Option<&'static str> {
    let same = |(n, _): &&(i64, &str)| *n == number;
    EVERYWHERE.iter().chain(OF_OLD).find(same).map(|(_, name)| *name)
}
