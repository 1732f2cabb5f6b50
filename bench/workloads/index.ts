import type { WorkloadName } from '../measurement.ts';
import { idle } from './idle.ts';
import { pingPong, underLoad } from './latency.ts';
import { tcpBothDirections, tcpStreams } from './tcp.ts';
import { generatorAlone, udpFlood } from './udp.ts';
import type { Workload } from './workload.ts';

/** All that run in the candidate's own lab; `routes10k` has one of its own (many-routes.ts). */
export const LAB_WORKLOADS: Readonly<Record<Exclude<WorkloadName, 'routes10k'>, Workload>> = {
  tcp1: tcpStreams(1),
  tcp4: tcpStreams(4),
  bidir: tcpBothDirections,
  udp64: udpFlood(64),
  generator: generatorAlone,
  udp1380: udpFlood(1380),
  pingpong: pingPong,
  loaded: underLoad,
  idle,
};
