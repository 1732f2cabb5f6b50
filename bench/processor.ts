/** CPU time, memory and wake-ups from /proc (proc(5)). The parsers are pure; the readers read this machine. */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ: clock ticks a second in /proc/stat, 100 on every Linux ABI that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface CpuSeconds {
  readonly busy: number;
  readonly idle: number;
}

/** The `cpu` line of /proc/stat. Waiting for a disk is idle; what a hypervisor took (steal) is neither. */
export function parseProcStat(text: string): CpuSeconds {
  const fields = /^cpu +(.*)$/m.exec(text)?.[1]?.split(/ +/).map(Number);
  const [user, nice, system, idle, ioWait, irq, softirq] = fields ?? [];
  if (softirq === undefined) throw new Error('/proc/stat: no cpu line with seven fields');
  const sum = (...ticks: (number | undefined)[]) => ticks.reduce<number>((a, b) => a + (b ?? 0), 0) / TICKS_PER_SECOND;
  return { busy: sum(user, nice, system, irq, softirq), idle: sum(idle, ioWait) };
}

export function cpuSeconds(): CpuSeconds {
  return parseProcStat(readFileSync('/proc/stat', 'utf8'));
}

/** Runs `work`; tells the CPU time that the whole machine spent meanwhile: both hosts, containers and generators. */
export async function withCpu<T>(work: () => Promise<T>): Promise<{ result: T; cpuSeconds: number }> {
  const before = cpuSeconds();
  const result = await work();
  return { result, cpuSeconds: cpuSeconds().busy - before.busy };
}

/** A numeric field of /proc/PID/status, in its own unit (kB for memory). */
export function parseStatusField(text: string, name: string): number {
  const found = new RegExp(`^${name}:\\s*([0-9]+)`, 'm').exec(text)?.[1];
  if (found === undefined) throw new Error(`/proc/PID/status: no ${name}`);
  return Number(found);
}

export function rssMib(pid: number): number {
  return parseStatusField(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS') / 1024;
}

/** How often the threads of `pid` whose name begins with `prefix` slept and woke so far; undefined: no such thread. */
export function threadWakes(pid: number, prefix: string): number | undefined {
  const threads = readdirSync(`/proc/${pid}/task`).map((tid) =>
    readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8'),
  );
  const mine = threads.filter((status) => (/^Name:\t(.*)$/m.exec(status)?.[1] ?? '').startsWith(prefix));
  if (mine.length === 0) return undefined;
  return mine.reduce((sum, status) => sum + parseStatusField(status, 'voluntary_ctxt_switches'), 0);
}
