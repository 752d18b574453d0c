# SPDX-License-Identifier: MIT
# Join a LoRaWAN network and send a frame every five minutes: any MicroPython board with an SX1262.
# The pins are those of the Heltec WiFi LoRa 32 V3; keys.py holds DEV_EUI, JOIN_EUI and APP_KEY as bytes.
import os
import time

import cryptolib
from communode.lorawan.mac import Mac
from communode.lorawan.region.eu868 import REGION
from communode.lorawan.runner import Runner
from communode.lorawan.standalone import Clock, FileStore
from communode.radio.sx126x import Sx126x
from keys import APP_KEY, DEV_EUI, JOIN_EUI
from machine import SPI, Pin

clock = Clock(time)
spi = SPI(1, baudrate=8_000_000, sck=Pin(9), mosi=Pin(10), miso=Pin(11))
nss, reset, busy, dio1 = Pin(8, Pin.OUT, value=1), Pin(12, Pin.OUT, value=1), Pin(13, Pin.IN), Pin(14, Pin.IN)
modem = Sx126x(spi, nss, reset, busy, dio1, clock, tcxo_mv=1800, tcxo_delay_us=5000, dio2_rf_switch=1)
mac = Mac(REGION, lambda key: cryptolib.aes(key, 1), DEV_EUI, JOIN_EUI, APP_KEY)
runner = Runner(mac, modem, clock, FileStore("lorawan"), os.urandom)
while True:
    outcome = runner.send(2, b"hello") if mac.session.joined else runner.join()
    print(outcome.code, outcome.downlinks)
    clock.sleep_ms(outcome.wait_ms or (0 if outcome.code == "joined" else 300_000))
