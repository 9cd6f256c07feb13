include $(sort $(wildcard $(BR2_EXTERNAL_CHARTER_PATH)/package/*/*.mk))
