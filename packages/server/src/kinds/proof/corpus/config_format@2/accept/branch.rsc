# 2026-05-04 10:00:00 by RouterOS 7.14.2
# software id = ABCD-EFGH
#
/interface bridge
add name=bridge1 protocol-mode=none
/interface ethernet
set [ find default-name=ether1 ] comment="To the provider" mtu=\
    1500 name=ether1-wan
/ip address
add address=192.0.2.1/24 interface=bridge1 network=192.0.2.0
/system identity
set name=R-HZ-01
