/**
 * The whole native API, in the order of the native function table (`native/binding/addon.cc`).
 *
 * Addresses cross the boundary as network-order bytes (4 or 16), file descriptors as numbers that the caller owns and
 * closes exactly once with `closeFd`. A failed system call throws a {@link NativeError}, an argument of another type a
 * TypeError. Nothing here blocks on the network; `stopForwarder` joins threads, which takes at most one batch of
 * packets.
 */

/** A system call has failed: `code` is the errno's name (`EBUSY`), `syscall` what failed. */
export interface NativeError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  /** `acquireLock` with EADDRINUSE: process that holds the lock; 0 where it lives in another pid namespace. */
  readonly holderPid?: number;
}

export interface TunQueueOptions {
  readonly name: string;
  /** Fail with EBUSY if a device of this name exists (IFF_TUN_EXCL). */
  readonly exclusive: boolean;
  /** One of several queues of the device (IFF_MULTI_QUEUE). */
  readonly multiQueue: boolean;
  /** Wanted; all queues of a device must agree. */
  readonly offloads: TunOffloads;
}

/** What the device hands over unfinished, and takes so. */
export interface TunOffloads {
  /** A virtio_net_hdr stands in front of each packet (IFF_VNET_HDR); without it there are no others. */
  readonly vnetHeader: boolean;
  /** Checksums left open (TUN_F_CSUM). */
  readonly checksum: boolean;
  /** TCP super-packets up to 64 KiB (TUN_F_TSO4, TUN_F_TSO_ECN). */
  readonly tcp: boolean;
  /** UDP super-packets (TUN_F_USO4; Linux 6.2). */
  readonly udp: boolean;
}

export interface TunQueue {
  readonly fd: number;
  /** What the kernel granted of what was wanted. */
  readonly offloads: TunOffloads;
}

export interface UdpSocketOptions {
  readonly address: Uint8Array;
  readonly port: number;
  /** Share the port between workers of one daemon (SO_REUSEPORT). */
  readonly reusePort: boolean;
  /** Wanted SO_RCVBUF and SO_SNDBUF; the kernel's own limit is overridden where CAP_NET_ADMIN allows. */
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  /** Wanted: one send carries many datagrams (UDP_SEGMENT; Linux 4.18). */
  readonly segmentation: boolean;
  /** Wanted: one receive brings many datagrams (UDP_GRO; Linux 5.0). */
  readonly coalescing: boolean;
}

export interface UdpSocket {
  readonly fd: number;
  /** What the kernel has of what was wanted. */
  readonly segmentation: boolean;
  readonly coalescing: boolean;
}

/** Opaque handles; each is closed by its own function, and by the garbage collector as the last resort. */
export type ForwarderHandle = { readonly __forwarder: unique symbol };
export type NetlinkMonitorHandle = { readonly __netlinkMonitor: unique symbol };

export interface ForwarderOptions {
  /** One descriptor per worker, opened by `openTunQueue`; the forwarder uses but never closes them. */
  readonly tunFds: readonly number[];
  /**
   * The sockets of each worker, opened by `openUdpSocket`; used but never closed. The first of a set receives and
   * sends; flows are spread over all of it.
   */
  readonly udpFds: readonly (readonly number[])[];
  /** As the queues and sockets were opened. */
  readonly tunOffloads: TunOffloads;
  readonly udpSegmentation: boolean;
  readonly udpCoalescing: boolean;
  /** How long a worker looks for more packets before it goes to sleep; 0: not at all. */
  readonly pollMicroseconds: number;
  /** Source of ICMP answers: the TUN device's own address. */
  readonly deviceAddress: Uint8Array;
  /** Called on the JavaScript thread for rare events only. What it throws is an uncaught exception. */
  readonly onEvent: (event: ForwarderEvent) => void;
}

/**
 * `worker-stopped`: a worker met an error that it cannot outlive (its device is gone). `segmentation-off`: a NIC driver
 * refused UDP_SEGMENT; the worker goes on without.
 */
export interface ForwarderEvent {
  readonly kind: 'worker-stopped' | 'segmentation-off';
  readonly worker: number;
  /** What failed (`read tun`) and the errno's name. */
  readonly operation: string;
  readonly code: string;
}

/** One change of the route snapshot; a change without `nextHop` removes the route. */
export interface NativeRouteChange {
  readonly destination: Uint8Array;
  readonly length: number;
  readonly nextHop?: Uint8Array;
  readonly port?: number;
}

/** What the core would do with one packet (tests and diagnosis; no packet leaves). */
export interface Evaluation {
  /** Index into `verdictNames()`. */
  readonly verdict: number;
  /** Index into `dropReasonNames()`, where the verdict is `drop` (0 otherwise). */
  readonly reason: number;
  /** The datagram to send, the packet for the TUN, or the ICMP answer; empty for a drop. */
  readonly output: Uint8Array;
  readonly nextHop?: Uint8Array;
  readonly port?: number;
}

/** 0 = tunToUdp, 1 = udpToTun. */
export type DirectionIndex = 0 | 1;

export interface NativeAddon {
  openTunQueue(options: TunQueueOptions): TunQueue;
  openUdpSocket(options: UdpSocketOptions): UdpSocket;
  closeFd(fd: number): void;
  /**
   * Takes a lock that is scoped to the network namespace and vanishes with the process: an abstract AF_UNIX listener
   * (unix(7)). @returns its descriptor. @throws EADDRINUSE with `holderPid`.
   */
  acquireLock(name: string): number;

  /**
   * Sends one netlink request (netlink(7)) on a socket of its own and collects the answer.
   * @param protocol NETLINK_ROUTE (0) or NETLINK_NETFILTER (12).
   * @param request a whole nlmsghdr + body; sequence number and port id are filled in.
   * @returns each message of the answer (header included; ACK and DONE left out).
   * @throws the errno the kernel answered, its extended-ack text in the message.
   */
  netlinkRequest(protocol: number, request: Uint8Array): Uint8Array[];
  /**
   * Subscribes to rtnetlink multicast groups (bit mask of RTMGRP_*). `onMessages` runs on the JavaScript thread; an
   * empty list says that messages were lost (ENOBUFS, or a listener too slow) and the state must be read anew. What it
   * throws is an uncaught exception.
   */
  startNetlinkMonitor(groups: number, onMessages: (messages: Uint8Array[]) => void): NetlinkMonitorHandle;
  /** Idempotent. `onMessages` is not called any more, whatever had arrived. */
  stopNetlinkMonitor(monitor: NetlinkMonitorHandle): void;

  /** Makes a forwarder with no routes; nothing runs yet. */
  createForwarder(options: ForwarderOptions): ForwarderHandle;
  startForwarder(forwarder: ForwarderHandle): void;
  /** Idempotent. Joins the workers; the descriptors may be closed afterwards. */
  stopForwarder(forwarder: ForwarderHandle): void;
  /** Applies all changes and publishes them as one snapshot. */
  applyRoutes(forwarder: ForwarderHandle, changes: readonly NativeRouteChange[]): void;
  /** Replaces the set of this host's own addresses: inner sources that no peer may use. */
  setLocalAddresses(forwarder: ForwarderHandle, addresses: readonly Uint8Array[]): void;
  /** Live view of the counters: `workers x directions x counterNames().length`, in that order, row-major. */
  forwarderCounters(forwarder: ForwarderHandle): BigUint64Array;
  /** Whether every worker uses UDP_SEGMENT now. */
  forwarderUsesSegmentation(forwarder: ForwarderHandle): boolean;
  evaluate(forwarder: ForwarderHandle, direction: DirectionIndex, packet: Uint8Array): Evaluation;

  verdictNames(): string[];
  dropReasonNames(): string[];
  counterNames(): string[];
  /** Seconds on a clock that runs through suspend (CLOCK_BOOTTIME). */
  bootTimeSeconds(): number;
  /**
   * Sends a state such as `READY=1` to the socket that $NOTIFY_SOCKET names (sd_notify(3)).
   * @throws EAGAIN where nobody reads it for two seconds.
   */
  sdNotify(socketName: string, state: string): void;
}
