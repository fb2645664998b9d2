import { BlockList, isIP } from 'node:net'

/** `::ffff:10.0.0.1` is 10.0.0.1: an IPv4 peer on a dual-stack socket. */
export const plainAddress = (address: string): string =>
  address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address

/** A set of addresses and CIDR ranges. Throws on anything that is neither. */
export function createAddressSet(ranges: readonly string[]): { has(address: string): boolean } {
  const list = new BlockList()
  for (const range of ranges) {
    const [base, bits] = range.split('/') as [string, string | undefined]
    const family = isIP(base) === 4 ? 'ipv4' : isIP(base) === 6 ? 'ipv6' : undefined
    if (!family) throw new Error(`"${range}" is neither an address nor a CIDR range`)
    if (bits === undefined) list.addAddress(base, family)
    else list.addSubnet(base, Number(bits), family)
  }
  return {
    has(address) {
      const plain = plainAddress(address)
      return isIP(plain) !== 0 && list.check(plain, isIP(plain) === 4 ? 'ipv4' : 'ipv6')
    },
  }
}

/** Whether every address of `range` is one of `wider`: within a single one of them, as ranges are written. */
export function isWithin(range: string, wider: readonly string[]): boolean {
  const { address, prefix } = blockOf(range)
  return wider.some((one) => blockOf(one).prefix <= prefix && createAddressSet([one]).has(address))
}

/** A range on the scale of IPv6, where the 32 bits of an IPv4 address are the last ones. */
function blockOf(range: string): { address: string; prefix: number } {
  const [base, bits] = range.split('/') as [string, string | undefined]
  const size = isIP(base) === 4 ? 32 : 128
  return { address: base, prefix: 128 - size + Number(bits ?? size) }
}

/**
 * The client's address: the peer's, unless the peer is a trusted proxy; then the rightmost hop of `X-Forwarded-For` that
 * is not a trusted proxy itself. A header from anybody else counts for nothing.
 */
export function clientAddress(
  peer: string,
  forwarded: string | undefined,
  trusted: { has(address: string): boolean },
): string {
  let address = plainAddress(peer)
  if (forwarded === undefined) return address
  const hops = forwarded
    .split(',')
    .map((hop) => hop.trim())
    .filter(Boolean)
  while (trusted.has(address) && hops.length > 0) {
    const hop = plainAddress(hops.pop()!)
    if (isIP(hop) === 0) return address
    address = hop
  }
  return address
}
