/** What only one daemon can have: the device's name and the UDP port. Claimed before anything else is touched. */
import { OperatorError } from '../errors/errors.ts';
import { addressToBytes, formatAddress, type IpAddress } from '../ip/ip.ts';
import type { NativeAddon, NativeError, UdpSocket, UdpSocketOptions } from '../native/addon.ts';

/** Bytes wanted for the socket's receive and send buffers: 8 MiB ride out a few milliseconds of a full link. */
const SOCKET_BUFFER_BYTES = 8 * 1024 * 1024;

function isNativeError(error: unknown): error is NativeError {
  return error instanceof Error && 'code' in error && 'syscall' in error;
}

/**
 * Takes the lock of a device name in this network namespace; the kernel gives it back when the process ends.
 * @returns the lock's descriptor. @throws OperatorError `busy` that names the holder.
 */
export function lockDevice(native: NativeAddon, device: string): number {
  try {
    return native.acquireLock(`flanneld/device/${device}`);
  } catch (error) {
    if (!isNativeError(error) || error.code !== 'EADDRINUSE') throw error;
    const holder = error.holderPid ? `process ${error.holderPid}` : 'a process that cannot be seen from here';
    throw new OperatorError(
      'busy',
      `another flanneld runs ${device} in this network namespace: ${holder}; stop it first`,
    );
  }
}

/** What a socket is for. `send-only`: at a port of the kernel's choice, where nobody reads. */
export type SocketRole = 'receiving' | 'receiving-shared' | 'send-only';

/**
 * Binds an underlay socket. In the role `receiving`, a port in use is noticed.
 * @throws OperatorError `busy`, `host` where the address is not this host's, `privileges`.
 */
export function bindUnderlay(
  native: NativeAddon,
  address: IpAddress,
  port: number,
  role: SocketRole,
  wanted: Pick<UdpSocketOptions, 'segmentation' | 'coalescing'>,
): UdpSocket {
  try {
    const bytes = addressToBytes(address);
    return native.openUdpSocket({
      ...wanted,
      address: bytes,
      port: role === 'send-only' ? 0 : port,
      reusePort: role === 'receiving-shared',
      // What strangers send to a port where nobody reads must not pile up.
      receiveBufferBytes: role === 'send-only' ? 1 : SOCKET_BUFFER_BYTES,
      sendBufferBytes: SOCKET_BUFFER_BYTES,
    });
  } catch (error) {
    if (!isNativeError(error)) throw error;
    const where = `UDP port ${port} of ${formatAddress(address)}`;
    if (error.code === 'EADDRINUSE') {
      const find = `find it with "ss -ulpn sport = :${port}", or set Backend.Port for the whole network`;
      throw new OperatorError('busy', `${where} is taken by another process; ${find}`);
    }
    const exit = error.code === 'EACCES' || error.code === 'EPERM' ? 'privileges' : 'host';
    throw new OperatorError(exit, `cannot bind ${where}: ${error.message}`, { cause: error });
  }
}
