import type { Clock } from '../etcd-watch/etcd-watch.ts';
import { formatPrefix, type Prefix } from '../ip/ip.ts';
import type { Logger } from '../log/log.ts';
import { ROUTE_TYPE, type Rtnetlink } from '../rtnetlink/rtnetlink.ts';

/** Worse than the route of docker0 or cni0 (0), which is to win wherever it exists. */
const METRIC = 4096;

export interface BlackholeRouteOptions {
  readonly rtnetlink: Rtnetlink;
  readonly subnet: Prefix;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Keeps a blackhole route for the own subnet (`--ip-blackhole-route`): without a bridge, packets for the host's own
 * containers end here instead of following the network's route into the tunnel.
 * @returns what removes it.
 */
export function keepBlackholeRoute({
  rtnetlink,
  subnet,
  intervalMs,
  clock,
  logger,
}: BlackholeRouteOptions): () => void {
  const route = { destination: subnet, type: ROUTE_TYPE.blackhole, priority: METRIC };
  let failure: string | undefined;
  let cancel = () => {};
  const ensure = () => {
    try {
      rtnetlink.replaceRoute(route);
      failure = undefined;
    } catch (error) {
      if (String(error) !== failure)
        logger.error({ error: String(error) }, `no blackhole route for ${formatPrefix(subnet)}`);
      failure = String(error);
    }
    cancel = clock.schedule(intervalMs, ensure);
  };
  ensure();
  return () => {
    cancel();
    if (failure === undefined) rtnetlink.deleteRoute(route);
  };
}
