include $(sort $(wildcard $(BR2_EXTERNAL_CHAINBOT_PATH)/package/*/*.mk))
