interfaces {
    ethernet eth0 {
        address 203.0.113.9/30
        description 'To the core'
    }
}
system {
    host-name vyos-1
}
// vyos-config-version: "bgp@5:system@27"
