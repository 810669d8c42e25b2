// Addresses as people write them.

/** IPv4 without the `::ffff:` of a dual-stack socket. */
export function plain(address) {
  return address?.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

export function isIPv6(address) {
  return address.includes(':');
}
