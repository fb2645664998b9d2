# 2026-05-04 10:00:00 by RouterOS 7.14.2
/ip address
add address=192.0.2.1/24 \
    interface=bridge1 \
